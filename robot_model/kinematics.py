"""Forward kinematics and Jacobian of the arm's flange, on Pinocchio."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robot_model.conventions import matrix_to_pose
from robot_model.franka import ARM_JOINTS, Franka, checked_joints
from robot_model.rigid_body import pinocchio

URDF_FOLDER = Path(__file__).parent / "urdf"


class ArmKinematics:
    """Kinematics of one arm, base ``link0`` to flange ``link8``.

    Holds Pinocchio's scratch memory: give every thread its own instance.

    Attributes:
        franka: The arm and its limits.
        model: The Pinocchio model (7 revolute joints, no inertia, no geometry).
        data: Pinocchio's scratch memory for ``model``.
        flange: Frame index of ``link8`` in ``model``.
    """

    def __init__(self, franka: Franka):
        self.franka = franka
        self.model = pinocchio.buildModelFromUrdf(str(URDF_FOLDER / f"{franka.name}.urdf"))
        self.data = self.model.createData()
        self.flange = self.model.getFrameId(f"{franka.name}_link8")

    def forward(self, q: np.ndarray) -> np.ndarray:
        """Flange transforms.

        Args:
            q: ``(..., 7)`` joints, rad; limits are not checked.

        Returns:
            ``(..., 4, 4)`` transforms flange -> base, metres.

        Raises:
            InvalidArrayError: Not ``(..., 7)`` finite numbers.
        """
        q = checked_joints(q)
        if q.ndim == 1:
            return self._forward(q)
        rows = [self._forward(row) for row in q.reshape(-1, ARM_JOINTS)]
        return np.array(rows).reshape(*q.shape[:-1], 4, 4)

    def forward_pose(self, q: np.ndarray) -> np.ndarray:
        """Flange poses ``(..., 6)`` (see `robot_model.conventions`) of joints ``(..., 7)``; raises like `forward`."""
        return matrix_to_pose(self.forward(q))

    def jacobian(self, q: np.ndarray) -> np.ndarray:
        """Jacobian of the flange's motion.

        Args:
            q: ``(7,)`` joints, rad.

        Returns:
            ``(6, 7)``: joint velocities [rad/s] -> linear velocity of the flange's origin [m/s] (first three rows) and
            angular velocity [rad/s], both along the axes of the base frame.

        Raises:
            InvalidArrayError: Not seven finite numbers.
        """
        q = checked_joints(q)
        return pinocchio.computeFrameJacobian(
            self.model, self.data, q, self.flange, pinocchio.ReferenceFrame.LOCAL_WORLD_ALIGNED
        )

    def _forward(self, q: np.ndarray) -> np.ndarray:
        pinocchio.framesForwardKinematics(self.model, self.data, q)
        return self.data.oMf[self.flange].homogeneous.copy()
