"""The general proposer (paper 3.4): constant spatial velocities along the base frame's axes, plus the gripper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner_server.proposers.interfaces import Proposal, Proposals, Situation
from robot_model.adapter import integrate_joint_velocities
from robot_model.conventions import CONTROL_PERIOD

AXES = {
    "+x": (1, 0, 0),
    "-x": (-1, 0, 0),
    "+y": (0, 1, 0),
    "-y": (0, -1, 0),
    "+z": (0, 0, 1),
    "-z": (0, 0, -1),
}
DAMPING = 0.02


@dataclass(frozen=True)
class BasisProposer:
    """Six translations per speed, two yaw turns and staying put, all with the gripper held; then gripper toggles.

    Without the toggles nothing is ever grasped or released: down (reach and grasp), up (let go and leave) and stay
    are offered with the gripper changed as well.

    Attributes:
        speeds: Linear speeds, m/s; the first one also carries the toggles.
        yaw_speed: rad/s about the base frame's z; 0 offers no turns.
        name: Shown in `Plan.proposers`.
    """

    speeds: tuple[float, ...]
    yaw_speed: float
    name: str = "basis"

    def propose(self, situation: Situation, rng: np.random.Generator) -> Proposals:
        """Twelve candidates for one speed, six more for each further one; nothing is random."""
        del rng
        held = situation.start[6]
        toggled, verb = (1.0, "close") if held < 0.5 else (0.0, "open")
        proposals = []
        for speed, label in zip(self.speeds, ("", " slow", " slower", " slowest"), strict=False):
            for axis, direction in AXES.items():
                poses = spatial_velocity_chunk(situation, np.array([*direction, 0, 0, 0]) * speed)
                proposals.append(Proposal(axis + label, with_gripper(poses, held)))
                if axis in ("+z", "-z") and speed == self.speeds[0]:
                    proposals.append(Proposal(f"{axis} {verb}", with_gripper(poses, toggled)))
        for name, sign in (("yaw+", 1), ("yaw-", -1)) if self.yaw_speed else ():
            poses = spatial_velocity_chunk(situation, np.array([0, 0, 0, 0, 0, sign * self.yaw_speed]))
            proposals.append(Proposal(name, with_gripper(poses, held)))
        still = np.tile(situation.start, (len(situation.times), 1))
        proposals.append(Proposal("stay", still))
        proposals.append(Proposal(f"stay {verb}", with_gripper(still, toggled)))
        return Proposals(tuple(proposals), f"{len(proposals)} candidates along the base frame's axes")

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None:
        """Nothing to remember."""

    def forget(self, robot_id: str) -> None:
        """Nothing to forget."""


def spatial_velocity_chunk(situation: Situation, twist: np.ndarray) -> np.ndarray:
    """Poses of a constant spatial velocity, through the joints as the paper does.

    Spatial velocity -> joint velocities through the damped Jacobian, at the control rate -> joint positions through
    the plain dynamics action adapter (integration within the joint limits) -> poses through forward kinematics.

    Args:
        situation: Start of the motion.
        twist: ``(6,)`` linear [m/s] and angular [rad/s] velocity along the base frame's axes.

    Returns:
        ``(H, 7)`` poses, one per video frame; the gripper is the start's.
    """
    steps = max(1, round(situation.frame_period / CONTROL_PERIOD))
    period = situation.frame_period / steps
    kinematics, q = situation.kinematics, situation.start_joints
    joints = []
    for _ in situation.times:
        for _ in range(steps):
            velocity = damped_joint_velocity(kinematics.jacobian(q), twist)
            q = integrate_joint_velocities(q, velocity[None], period, kinematics.franka)[-1]
        joints.append(q)
    gripper = np.full((len(joints), 1), situation.start[6])
    return np.concatenate([kinematics.forward_pose(np.array(joints)), gripper], axis=1)


def damped_joint_velocity(jacobian: np.ndarray, twist: np.ndarray) -> np.ndarray:
    """Joint velocities ``(7,)`` that move the flange with ``twist`` ``(6,)``: J^T (J J^T + damping^2 I)^-1 twist."""
    return jacobian.T @ np.linalg.solve(jacobian @ jacobian.T + DAMPING**2 * np.eye(6), twist)


def with_gripper(poses: np.ndarray, gripper: float) -> np.ndarray:
    """The same motion with another gripper command."""
    changed = poses.copy()
    changed[:, 6] = gripper
    return changed
