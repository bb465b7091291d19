"""How far the arm is from itself and from what stands around it, with Pinocchio's collision library (coal).

The robot is the capsules and boxes of `robot_model.shapes`. Around it: the table, a half space below a height, and
boxes that must stay free. The first two links are exempt from the table: they stand on what the base stands on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import coal
import numpy as np

from robot_model.errors import RobotModelError
from robot_model.franka import checked_joints
from robot_model.kinematics import ArmKinematics
from robot_model.rigid_body import pinocchio
from robot_model.shapes import FINGERTIPS, Box, Capsule, KeepOut, Shape

TABLE = "table"

_HAND = ("gripper", "fingers", FINGERTIPS, "wrist camera")
_MOVING_AWAY = ("link3", "link4", "link5", "link6", "link7", *_HAND)
"""Bodies that can come down to the table, or to what stands on it."""

_SELF: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("link5", "link6", "link7", *_HAND), ("link0", "link1", "link2")),
    (("link7", *_HAND), ("link3", "link4")),
    (_HAND, ("link5",)),
)
"""Which bodies can meet at all within the joint limits. The others share a joint, or the joints' ranges keep them
apart: a test drives MuJoCo's hulls through random postures and finds no contact that these pairs miss."""


@dataclass(frozen=True)
class Margins:
    """Distances to keep, metres; negative ones allow that much overlap of the (generous) shapes.

    Attributes:
        itself: Between two parts of the robot.
        scene: Of any part of the robot from table and boxes.
        tips: Of the fingertips from them: grasping happens there.
    """

    itself: float = 0.0
    scene: float = 0.0
    tips: float = 0.0


@dataclass(frozen=True, eq=False)
class Pairs:
    """What is measured: P pairs of shapes.

    Attributes:
        bodies: Names of both bodies, a part of the robot first.
        scene: ``(P,)`` bool: the second body is no part of the robot.
        margins: ``(P,)`` metres.
    """

    bodies: tuple[tuple[str, str], ...]
    scene: np.ndarray
    margins: np.ndarray


class ArmCollision:
    """Signed distances between the robot's parts, and to the scene. Shares the scratch memory of ``kinematics``.

    Attributes:
        pairs: What `excess` measures, in its order.
    """

    def __init__(
        self,
        kinematics: ArmKinematics,
        shapes: Sequence[Shape],
        table_height: float,
        keep_out: Sequence[KeepOut] = (),
        margins: Margins = Margins(),
    ) -> None:
        """Create it.

        Args:
            kinematics: The arm.
            shapes: Of the arm and its gripper, see `robot_model.shapes.robot_shapes`.
            table_height: z of the table's top in the base frame, metres.
            keep_out: Boxes that must stay free.
            margins: Distances to keep.

        Raises:
            RobotModelError: A box has no volume.
        """
        self._kinematics = kinematics
        self._geometry = pinocchio.GeometryModel()
        self._pair_bodies: list[tuple[str, str]] = []
        parts = [(shape.body, self._add(shape)) for shape in shapes]
        self._add_self_pairs(parts)
        table = self._place(
            TABLE, 0, 0, pinocchio.SE3.Identity(), coal.Halfspace(np.array([0.0, 0.0, 1.0]), table_height)
        )
        self._add_scene_pairs(parts, [(TABLE, table)], _MOVING_AWAY)
        boxes = [(box.name, self._add_box(box)) for box in keep_out]
        self._add_scene_pairs(parts, boxes, ("link1", "link2", *_MOVING_AWAY))
        self._data = self._geometry.createData()
        around = {TABLE, *(box.name for box in keep_out)}
        scene = np.array([second in around for _, second in self._pair_bodies])
        tips = np.array([first == FINGERTIPS for first, _ in self._pair_bodies])
        keep = np.where(scene, np.where(tips, margins.tips, margins.scene), margins.itself)
        self.pairs = Pairs(tuple(self._pair_bodies), scene, keep)
        for request, margin in zip(self._data.collisionRequests, keep, strict=True):
            request.security_margin = float(margin)

    def clear(self, q: np.ndarray) -> bool:
        """Whether every pair keeps its margin at joints ``q`` ``(7,)`` rad; raises like `excess`, and is quicker."""
        model, data = self._kinematics.model, self._kinematics.data
        return not pinocchio.computeCollisions(model, data, self._geometry, self._data, checked_joints(q), True)

    def excess(self, q: np.ndarray) -> np.ndarray:
        """What is left of every pair's distance beyond its margin at joints ``q`` ``(7,)`` rad.

        Returns:
            ``(P,)`` metres; negative where a margin is not kept.

        Raises:
            InvalidArrayError: Not seven finite numbers.
        """
        model, data = self._kinematics.model, self._kinematics.data
        pinocchio.computeDistances(model, data, self._geometry, self._data, checked_joints(q))
        return np.array([result.min_distance for result in self._data.distanceResults]) - self.pairs.margins

    # --- building -------------------------------------------------------------------------------------------------

    def _add(self, shape: Shape) -> int:
        model = self._kinematics.model
        frame = model.getFrameId(f"{self._kinematics.franka.name}_{shape.link}")
        joint, mount = model.frames[frame].parentJoint, model.frames[frame].placement
        if isinstance(shape, Box):
            turn = pinocchio.utils.rotate("z", shape.turn)
            placement = pinocchio.SE3(turn, turn @ np.array(shape.centre))
            return self._place(shape.body, joint, frame, mount * placement, coal.Box(*shape.size))
        placement, geometry = _capsule(shape)
        return self._place(shape.body, joint, frame, mount * placement, geometry)

    def _add_box(self, box: KeepOut) -> int:
        if not min(box.size) > 0:
            raise RobotModelError(f"the box '{box.name}' needs positive edge lengths, got {box.size}")
        placement = pinocchio.SE3(np.eye(3), np.array(box.centre))
        return self._place(box.name, 0, 0, placement, coal.Box(*box.size))

    def _place(self, name: str, joint: int, frame: int, placement: pinocchio.SE3, geometry: object) -> int:
        unique = f"{name}#{self._geometry.ngeoms}"
        return self._geometry.addGeometryObject(pinocchio.GeometryObject(unique, joint, frame, placement, geometry))

    def _add_self_pairs(self, parts: list[tuple[str, int]]) -> None:
        for firsts, seconds in _SELF:
            self._add_pairs([part for part in parts if part[0] in firsts], [p for p in parts if p[0] in seconds])

    def _add_scene_pairs(
        self, parts: list[tuple[str, int]], scene: list[tuple[str, int]], exposed: tuple[str, ...]
    ) -> None:
        self._add_pairs([part for part in parts if part[0] in exposed], scene)

    def _add_pairs(self, firsts: list[tuple[str, int]], seconds: list[tuple[str, int]]) -> None:
        for name, first in firsts:
            for other, second in seconds:
                self._geometry.addCollisionPair(pinocchio.CollisionPair(first, second))
                self._pair_bodies.append((name, other))


def _capsule(shape: Capsule) -> tuple[pinocchio.SE3, coal.Capsule]:
    """Placement in its link and geometry; coal's capsules lie along z around their middle."""
    start, end = np.array(shape.start), np.array(shape.end)
    length = float(np.linalg.norm(end - start))
    turn = pinocchio.Quaternion.FromTwoVectors(np.array([0.0, 0.0, 1.0]), (end - start) / length).matrix()
    return pinocchio.SE3(turn, (start + end) / 2), coal.Capsule(shape.radius, length)
