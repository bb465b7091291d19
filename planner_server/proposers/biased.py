"""The biased proposer (paper 3.4): perturb the nominal chunk of a policy that already has an idea."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.spatial.transform import Rotation

from planner_server.proposers.interfaces import Proposal, Proposals, Situation
from robot_model.conventions import interpolate_pose


class NominalPolicy(Protocol):
    """A policy whose chunk is worth perturbing, e.g. a behaviour-cloned one behind its own server."""

    name: str

    def chunk(self, situation: Situation) -> np.ndarray | None:
        """``(H, 7)`` poses at ``situation.times``, or None when the policy has nothing to offer now."""
        ...

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None:
        """Take note of the chunk that was returned to the robot."""
        ...

    def forget(self, robot_id: str) -> None:
        """A new task begins for this robot."""
        ...


class PreviousPlan:
    """The default nominal policy: go on as the previous plan of this robot did."""

    name = "previous"

    def __init__(self) -> None:
        self._plans: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def chunk(self, situation: Situation) -> np.ndarray | None:
        """The previous plan's motion from the start time on, carried over to the start pose.

        Beyond its end the plan continues with its mean velocity (the gripper and the rotation stay). None when there
        is no previous plan or it ended before this chunk starts.
        """
        if situation.robot_id not in self._plans:
            return None
        times, poses = self._plans[situation.robot_id]
        # A plan from the future means that the robot's clock was set back: it is another run.
        if not times[0] - situation.frame_period <= situation.start_time <= times[-1]:
            return None
        velocity = (poses[-1, :3] - poses[0, :3]) / max(times[-1] - times[0], 1e-9)
        path = np.stack([pose_at(t, times, poses, velocity) for t in (situation.start_time, *situation.times)])
        turn = Rotation.from_euler("xyz", path[1:, 3:6]) * Rotation.from_euler("xyz", path[0, 3:6]).inv()
        chunk = path[1:].copy()
        chunk[:, :3] = situation.start[:3] + path[1:, :3] - path[0, :3]
        chunk[:, 3:6] = (turn * Rotation.from_euler("xyz", situation.start[3:6])).as_euler("xyz")
        return chunk

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None:
        """Keep the newest chunk of each robot."""
        self._plans[robot_id] = (times.copy(), poses.copy())

    def forget(self, robot_id: str) -> None:
        """Drop the robot's chunk."""
        self._plans.pop(robot_id, None)


def pose_at(t: float, times: np.ndarray, poses: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Pose ``(7,)`` of a chunk at time ``t``; past its end it drifts on with ``velocity`` ``(3,)``."""
    if t >= times[-1]:
        pose = poses[-1].copy()
        pose[:3] += velocity * (t - times[-1])
        return pose
    k = int(np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(times) - 2))
    return interpolate_pose(poses[k], poses[k + 1], float(np.clip((t - times[k]) / (times[k + 1] - times[k]), 0, 1)))


@dataclass(frozen=True)
class BiasedProposer:
    """The nominal chunk itself and perturbed copies of it, in position, yaw and gripper.

    A perturbation grows linearly along the chunk, so that it bends the path and keeps it continuous.

    Attributes:
        policy: Where the nominal chunk comes from.
        perturbations: Number of perturbed copies.
        position_noise: Standard deviation at the end of the chunk, metres per axis.
        yaw_noise: The same for yaw about the base frame's z, rad.
        gripper_flip: Probability that a copy toggles the gripper from a random frame on.
    """

    policy: NominalPolicy
    perturbations: int
    position_noise: float
    yaw_noise: float
    gripper_flip: float

    @property
    def name(self) -> str:
        """The policy's name: it is what a reader wants to know."""
        return self.policy.name

    def propose(self, situation: Situation, rng: np.random.Generator) -> Proposals:
        """The nominal chunk and its copies; nothing, with a note, when the policy has none."""
        nominal = self.policy.chunk(situation)
        if nominal is None:
            return Proposals((), f"skipped: no {self.name} chunk for this robot at this time")
        proposals = [Proposal(self.name, nominal)]
        for number in range(1, self.perturbations + 1):
            proposals.append(Proposal(f"{self.name} ~{number}", self._perturb(nominal, rng)))
        copies = f" and {self.perturbations} perturbed copies" if self.perturbations else ""
        return Proposals(tuple(proposals), f"the {self.name} chunk{copies}")

    def _perturb(self, nominal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        H = len(nominal)
        growth = np.arange(1, H + 1)[:, None] / H
        chunk = nominal.copy()
        chunk[:, :3] += growth * rng.normal(0.0, self.position_noise, 3)
        yaw = Rotation.from_rotvec(growth * np.array([0.0, 0.0, rng.normal(0.0, self.yaw_noise)]))
        chunk[:, 3:6] = (yaw * Rotation.from_euler("xyz", chunk[:, 3:6])).as_euler("xyz")
        flip, first = rng.random() < self.gripper_flip, int(rng.integers(H))
        if flip:
            chunk[first:, 6] = 0.0 if chunk[first, 6] >= 0.5 else 1.0
        return chunk

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None:
        """Hand the chunk on to the policy."""
        self.policy.remember(robot_id, times, poses)

    def forget(self, robot_id: str) -> None:
        """Hand the reset on to the policy."""
        self.policy.forget(robot_id)
