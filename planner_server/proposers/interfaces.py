"""What a proposer is. A new one is a new file beside the others, named where the `Planner` is put together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from plan_protocol.messages import Observation
from robot_model.kinematics import ArmKinematics


@dataclass(frozen=True)
class Situation:
    """Where the arm will be when the chunk begins, and what is asked of it.

    Attributes:
        robot_id: Whose chunk it is; proposers that remember keep their memory per robot.
        instruction: The task in words.
        start: ``(7,)`` pose one frame before the chunk's first pose.
        start_joints: ``(7,)`` joints at that moment, rad.
        times: ``(H,)`` seconds on the robot's clock of the poses to propose.
        frame_period: Seconds between two poses.
        kinematics: The robot's arm.
        observation: What the robot saw and felt, for policies with eyes.
    """

    robot_id: str
    instruction: str
    start: np.ndarray
    start_joints: np.ndarray
    times: np.ndarray
    frame_period: float
    kinematics: ArmKinematics
    observation: Observation | None = None

    @property
    def start_time(self) -> float:
        """Moment of the start pose: one frame before the first proposed pose."""
        return float(self.times[0] - self.frame_period)


@dataclass(frozen=True)
class Proposal:
    """One candidate chunk.

    Attributes:
        name: Origin in words a person reads in a list, e.g. ``-z close``.
        poses: ``(H, 7)``; the planner projects them onto its limits.
    """

    name: str
    poses: np.ndarray


@dataclass(frozen=True)
class Proposals:
    """What one proposer offers.

    Attributes:
        proposals: The candidates, possibly none.
        note: One line on what was offered or why nothing was.
    """

    proposals: tuple[Proposal, ...]
    note: str


class Proposer(Protocol):
    """u in Algorithm 3."""

    @property
    def name(self) -> str:
        """Key of its note in `Plan.proposers`."""
        ...

    def propose(self, situation: Situation, rng: np.random.Generator) -> Proposals:
        """Candidates for this situation; every random draw from ``rng``."""
        ...

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None:
        """Take note of the chunk that was returned to the robot."""
        ...

    def forget(self, robot_id: str) -> None:
        """A new task begins for this robot."""
        ...
