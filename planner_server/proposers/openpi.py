"""The biased proposer's policy behind openpi's protocol: pi0.5-DROID, or `vidplan policy serve` (paper 3.4)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.adapter import Adapter
from planner_server.policy.adapters import AUTO, AdapterChoice, joint_velocities
from planner_server.policy.droid import droid_observation
from planner_server.policy.link import PolicyLink
from planner_server.policy.server import checked_address
from planner_server.proposers.biased import BiasedProposer
from planner_server.proposers.interfaces import Proposals, Situation
from robot_model.adapter import integrate_joint_velocities
from robot_model.conventions import CONTROL_PERIOD

CLOSED = 0.5
"""Gripper position from which a policy means closed; DROID's robots are told open or closed only."""


class OpenPiPolicy:
    """A `NominalPolicy` that asks a policy server, for a limited time.

    Actions belong to control steps of the robot's clock from the observation on: those of the committed prefix are
    over when the chunk begins and are left out, and an answer that came too late for its own plan can serve the next.

    Attributes:
        name: Shown in `Plan.proposers`.
        note: What became of the newest request.
    """

    name = "policy"

    def __init__(self, address: str, exterior: int, wrist: int, patience: float, adapter: str = AUTO) -> None:
        """Nothing is connected until the first plan, and a server may come and go.

        Args:
            address: ``ws://HOST:PORT``.
            exterior: Index of the scene camera that the policy sees.
            wrist: Index of the wrist camera.
            patience: Most seconds that a plan waits for an answer.
            adapter: How the arm follows its joint velocities, see `planner_server.policy.adapters.AdapterChoice`.

        Raises:
            PolicyError: The address is not understood, or the adapter cannot be used.
        """
        checked_address(address)
        self._adapter = AdapterChoice(adapter)
        self.note = ""
        self._exterior, self._wrist, self._patience = exterior, wrist, patience
        self._link = PolicyLink(address)

    def chunk(self, situation: Situation) -> np.ndarray | None:
        """The part of the newest answer that lies in the chunk, as poses ``(H, 7)``; None where there is none."""
        seen = situation.observation
        if seen is None:
            self.note = "a policy needs pictures, and this request has none"
            return None
        newest = seen.images[-1]
        observation = droid_observation(
            newest[self._exterior], newest[self._wrist], seen.joints, seen.poses[-1, 6], situation.instruction
        )
        stamp = float(seen.stamps[-1])
        answer = self._link.ask(situation.robot_id, stamp, observation, self._patience)
        if answer is None or answer.prompt != situation.instruction:
            self.note = self._link.trouble or f"no answer within {self._patience:g} s"
            return None
        over = round((situation.start_time - answer.stamp) / CONTROL_PERIOD)
        poses = flange_chunk(answer.actions, over, situation, self._adapter.of(answer.metadata))
        age = stamp - answer.stamp
        self.note = "answered in time" if age == 0 else f"the answer is {age:.1f} s old; {self._link.trouble or 'late'}"
        if poses is None:
            self.note = f"{self.note}, and its {len(answer.actions)} actions end before this chunk begins"
        return poses

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None:
        """Nothing to remember: the policy answers to what it sees."""

    def forget(self, robot_id: str) -> None:
        """Drop what was answered for the task that is over."""
        self._link.forget(robot_id)

    def close(self) -> None:
        """Hang up."""
        self._link.close()


@dataclass(frozen=True)
class OpenPiProposer(BiasedProposer):
    """The biased proposer around `OpenPiPolicy`; its note says how the policy is, too."""

    policy: OpenPiPolicy

    def propose(self, situation: Situation, rng: np.random.Generator) -> Proposals:
        """As `BiasedProposer`: nothing, with the reason, when the policy does not answer."""
        offer = super().propose(situation, rng)
        return replace(offer, note=f"{offer.note} ({self.policy.note})")


def flange_chunk(
    actions: np.ndarray, over: int, situation: Situation, adapter: Adapter | None = None
) -> np.ndarray | None:
    """Poses of a policy's actions from the start of the chunk on.

    Joint velocities -> joints, as the adapter has the arm follow them, within the arm's limits -> poses through forward
    kinematics. After the last action the arm rests.

    Args:
        actions: ``(N, 8)``, see `planner_server.policy.droid`.
        over: How many of them lie before the chunk.
        situation: Start of the motion.
        adapter: How the arm follows joint velocities; None: exactly.

    Returns:
        ``(H, 7)`` poses, or None where less than a frame's actions are left or the robot's clock was set back.
    """
    steps = max(1, round(situation.frame_period / CONTROL_PERIOD))
    needed = steps * len(situation.times)
    if not 0 <= over <= len(actions) - steps:
        return None
    left = actions[over : over + needed]
    velocities = np.zeros((needed, 7))
    velocities[: len(left)] = joint_velocities(left[:, :7], situation.start_joints, adapter)
    gripper = np.append(left[:, 7], np.full(needed - len(left), left[-1, 7]))
    kinematics = situation.kinematics
    period = situation.frame_period / steps
    joints = integrate_joint_velocities(situation.start_joints, velocities, period, kinematics.franka)
    last = slice(steps - 1, None, steps)
    return np.column_stack([kinematics.forward_pose(joints[last]), gripper[last] > CLOSED])
