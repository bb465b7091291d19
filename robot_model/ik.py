"""Inverse kinematics by damped least squares, made to be started from the previous solution.

Each iteration solves ``min |W (J dq - e)|^2 + lambda |dq|^2`` for the remaining error ``e`` of the flange. The damping
``lambda`` shrinks with the squared error (Sugihara, "Solvability-unconcerned inverse kinematics by the
Levenberg-Marquardt method", IEEE T-RO 2011, eq. 30), so the solve stays calm at singularities and for targets out of
reach, and converges quadratically near a solution. Joints that would leave their box (position limits, and what
``max_step`` allows around the seed) stop at its wall and the others take over. The redundant degree of freedom drifts
slowly towards the middle of the joint ranges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_model.errors import InvalidArrayError, RobotModelError
from robot_model.franka import ARM_JOINTS, checked_joints
from robot_model.kinematics import ArmKinematics
from robot_model.rigid_body import pinocchio

POSITION_TOLERANCE = 1e-5
"""Metres below which the position counts as reached."""

ROTATION_TOLERANCE = 1e-4
"""Radians below which the rotation counts as reached."""

SEED_TOLERANCE = 0.01
"""Radians by which a measured seed may lie outside the limits (sensor noise at an end stop); it is moved inside."""

MAX_ITERATIONS = 50
MIN_DAMPING = 1e-6
STALLED_STEP = 1e-7
ROTATION_LENGTH = 0.3
"""Metres that one radian counts for when position and rotation are traded (about the arm's wrist-to-elbow scale)."""

POSTURE_PULL = 0.05
"""Share of the way to mid-range that the redundant degree of freedom is asked to go per solve."""

MAX_POSTURE_STEP = 0.04
"""Radians that this pull may ask of any joint per solve (0.6 rad/s at 15 Hz), so that an arm in an odd posture that is
told to stand still does not whip its elbow round. Half of it is too slow to keep every recorded DROID trajectory
inside the velocity limits when ``max_step`` is not given."""

_WEIGHT = np.array([[1.0]] * 3 + [[ROTATION_LENGTH]] * 3)
_IDENTITY = np.eye(6)


@dataclass(frozen=True, eq=False)
class IkResult:
    """The best joints found and how good they are. Check ``converged`` or the residuals before moving.

    Attributes:
        q: ``(7,)`` joints, rad, always inside the limits and within ``max_step`` of the seed.
        position_error: Distance of the flange from the target, metres.
        rotation_error: Angle between the flange and the target, rad.
        converged: Both errors are below `POSITION_TOLERANCE` and `ROTATION_TOLERANCE`.
        condition: Condition number of the Jacobian at ``q`` (angles weighted by `ROTATION_LENGTH`, so that it has no
            unit); about 4 at DROID's reset posture, infinite at a singularity.
    """

    q: np.ndarray
    position_error: float
    rotation_error: float
    converged: bool
    condition: float


class InverseKinematics:
    """Solves for joints that put the flange at a pose. Shares the scratch memory of ``kinematics``: one per thread."""

    def __init__(self, kinematics: ArmKinematics):
        self.kinematics = kinematics
        self.middle = (kinematics.franka.lower + kinematics.franka.upper) / 2

    def solve(self, target: np.ndarray, seed: np.ndarray, max_step: float | np.ndarray | None = None) -> IkResult:
        """Find joints for a flange pose near a seed.

        Args:
            target: ``(4, 4)`` transform flange -> base, metres.
            seed: ``(7,)`` joints to start from, rad: the previous solution when a trajectory is followed.
            max_step: Largest change of each joint against the seed, rad, a number or ``(7,)``; e.g.
                ``franka.velocity * dt``. None leaves only the position limits.

        Returns:
            The best joints found; a target out of reach is not an error but a result with ``converged=False``.

        Raises:
            InvalidArrayError: ``target`` is not a rigid transform, or an array is not finite or has another shape.
            JointLimitError: The seed lies outside the limits by more than `SEED_TOLERANCE`.
        """
        target = _checked_transform(target)
        seed = self._checked_seed(seed)
        lower, upper = self._box(seed, max_step)

        q = best = np.minimum(np.maximum(seed, lower), upper)
        best_score = np.inf
        pull = POSTURE_PULL
        for _ in range(MAX_ITERATIONS):
            error, jacobian = self._linearise(q, target)
            reached = _reached(error)
            score = error @ error
            if reached or score < best_score:
                best, best_score = q, score
            # The first step also carries the posture pull; the later ones only remove the error that is left.
            if reached and not pull:
                break
            moved = np.minimum(np.maximum(q + self._step(q, error, jacobian, lower, upper, pull), lower), upper)
            if np.abs(moved - q).max() < STALLED_STEP:
                break
            q, pull = moved, 0.0
        return self._result(best, target)

    def _linearise(self, q: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted error ``(6,)`` of the flange along the base axes, and the weighted Jacobian ``(6, 7)``."""
        model, data, flange = self.kinematics.model, self.kinematics.data, self.kinematics.flange
        jacobian = pinocchio.computeFrameJacobian(model, data, q, flange, pinocchio.LOCAL_WORLD_ALIGNED)
        placement = pinocchio.updateFramePlacement(model, data, flange)
        error = np.empty(6)
        error[:3] = target[:3, 3] - placement.translation
        error[3:] = ROTATION_LENGTH * pinocchio.log3(target[:3, :3] @ placement.rotation.T)
        return error, jacobian * _WEIGHT

    def _step(
        self,
        q: np.ndarray,
        error: np.ndarray,
        jacobian: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        pull: float,
    ) -> np.ndarray:
        """Damped least squares step ``(7,)`` that spends no effort on joints already pressed against their wall."""
        posture = pull * (self.middle - q)
        posture *= min(1.0, MAX_POSTURE_STEP / max(float(np.abs(posture).max()), MAX_POSTURE_STEP))
        step = _damped_step(jacobian, error, posture)
        pressed = ((q <= lower) & (step < 0)) | ((q >= upper) & (step > 0))
        if pressed.any():
            step = _damped_step(np.where(pressed, 0.0, jacobian), error, np.where(pressed, 0.0, posture))
        return step

    def _result(self, q: np.ndarray, target: np.ndarray) -> IkResult:
        error, jacobian = self._linearise(q, target)
        singular = np.linalg.svd(jacobian, compute_uv=False)
        return IkResult(
            q=q,
            position_error=_norm(error[:3]),
            rotation_error=_norm(error[3:]) / ROTATION_LENGTH,
            converged=_reached(error),
            condition=float(singular[0] / singular[-1]) if singular[-1] > 0 else np.inf,
        )

    def _checked_seed(self, seed: np.ndarray) -> np.ndarray:
        arm = self.kinematics.franka
        seed = checked_joints(seed)
        if seed.ndim != 1:
            raise InvalidArrayError(f"the seed must be one posture (7,), got shape {seed.shape}")
        inside = np.minimum(np.maximum(seed, arm.lower), arm.upper)
        if np.abs(inside - seed).max() > SEED_TOLERANCE:
            arm.check(np.where(np.abs(inside - seed) > SEED_TOLERANCE, seed, inside))
        return inside

    def _box(self, seed: np.ndarray, max_step: float | np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        arm = self.kinematics.franka
        if max_step is None:
            return arm.lower, arm.upper
        reach = np.asarray(max_step, dtype=float)
        if reach.shape not in ((), (ARM_JOINTS,)) or not (reach >= 0).all():
            raise RobotModelError(f"max_step must be one number or 7, in radians and not negative, got {max_step}")
        return np.maximum(arm.lower, seed - reach), np.minimum(arm.upper, seed + reach)


def _damped_step(jacobian: np.ndarray, error: np.ndarray, posture: np.ndarray) -> np.ndarray:
    """``posture`` plus the smallest step that makes up the error it leaves: the pull acts in the null space only."""
    damped = jacobian @ jacobian.T + (0.5 * (error @ error) + MIN_DAMPING) * _IDENTITY
    return posture + jacobian.T @ np.linalg.solve(damped, error - jacobian @ posture)


def _reached(error: np.ndarray) -> bool:
    return _norm(error[:3]) < POSITION_TOLERANCE and _norm(error[3:]) < ROTATION_LENGTH * ROTATION_TOLERANCE


def _norm(vector: np.ndarray) -> float:
    return float(np.sqrt(vector @ vector))


def _checked_transform(target: np.ndarray) -> np.ndarray:
    target = np.asarray(target, dtype=float)
    if target.shape != (4, 4) or not np.isfinite(target).all():
        raise InvalidArrayError(f"the target must be a finite transform (4, 4), got shape {target.shape}")
    rotation = target[:3, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-6 or np.linalg.det(rotation) < 0:
        raise InvalidArrayError("the upper left 3x3 block of the target is not a rotation matrix")
    return target
