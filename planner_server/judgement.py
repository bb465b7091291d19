"""What the global planner knows of its candidates, and the verdict it draws from that."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from plan_protocol.messages import Candidate
from planner_server.alignment import LongAxis
from planner_server.config import PlannerConfig
from planner_server.imagination import Scene
from planner_server.instruction import Task
from planner_server.limits import Limits
from planner_server.phase import Phase
from planner_server.proposers.interfaces import Proposal, Situation
from planner_server.scoring import Scores, score
from planner_server.strangeness import Strange, believed


@dataclass(frozen=True)
class Evidence:
    """Everything the reward of B candidates is computed from.

    Attributes:
        actions: ``(B, H, 7)`` chunks, as they would be sent.
        relevance: ``(B, H, V, a, b)`` relevance of what is looked for in the imagined frames.
        h: ``(B, H, V, h, w)`` normalised uncertainty.
        centres: ``(B, H, V, 2)`` desired centres c, image widths.
        aside: ``(B, H)`` metres between the commanded tool and the object's place, seen from above.
        seen: ``(V, a, b)`` relevance of what is looked for in the newest real frame.
        strange: What of the scene the models do not know.
        view_weights: ``(V,)`` weight of each view where it sees the object.
        travel: ``(B,)`` share of the longest allowed path flown with the gripper left alone; upwards it counts whole,
            sideways half, downwards not at all.
        toggles: ``(B,)`` 1 where the fingers end elsewhere than they begin, else 0.
        value: ``(B,)`` mean expected return E[V] of the imagined frames.
    """

    actions: np.ndarray
    relevance: Tensor
    h: Tensor
    centres: Tensor
    aside: Tensor
    seen: Tensor
    strange: Strange
    view_weights: Tensor
    travel: Tensor
    toggles: Tensor
    value: Tensor

    def scores(self, config: PlannerConfig) -> Scores:
        """w(h^i) R(o^i, a^i), see `scoring.score`."""
        relevance = believed(self.relevance, self.strange.later, config)
        seen_now = believed(self.seen, self.strange.now, config).amax((-2, -1))
        views = seen_now, self.view_weights
        return score(relevance, self.h, self.centres, self.aside, *views, self.travel, config)

    def doubt(self, config: PlannerConfig) -> str:
        """Why no candidate can be trusted, for people; empty where some can."""
        scenery, least_h = float(self.strange.scenery), float(self.h.mean((1, 2, 3, 4)).min())
        if scenery > config.unfamiliar:
            return f"light or cameras are not those of the training: strangeness {scenery:.1f}, where 1 is rare"
        if least_h > config.unsure:
            return f"every imagined future is uncertain: {least_h:.2f} or more, where {config.unsure:.2f} is the bound"
        return ""

    def reward(self, r: Scores, config: PlannerConfig) -> Tensor:
        """``(B,)``: what the arg max is over where futures can be trusted.

        r knows where the tool is, neither how it is turned nor what the fingers do: there E[V] decides, and fingers
        that move for nothing cost a little.
        """
        wanted = config.progress * r.weight * self.value - config.regrip_cost * self.toggles
        return shared_by_motion(r.reward, self.actions) + wanted


@dataclass(frozen=True)
class Judgement:
    """The global planner's part of one plan: candidates, what was imagined of them, and the winner.

    Attributes:
        task: What the instruction asks for.
        phase: How far the task is, and so what is looked for.
        scene: The present, encoded.
        situation: Where the chunk begins.
        limits: What chunks satisfy in this situation.
        place: ``(2,)`` where what is looked for lies on the table, metres; None when no view shows it.
        long_axis: Of what is looked for, to be grasped across; None when it is not long, not seen, or not looked for.
        proposals: The candidates, feasible.
        notes: Note per proposer.
        evidence: What the verdict rests on.
        scores: The weighted semantic reward, in parts.
        reward: ``(B,)`` what the arg max was over.
        doubt: Why no candidate can be trusted; empty where some can. If none can, the winner explores.
    """

    task: Task
    phase: Phase
    scene: Scene
    situation: Situation
    limits: Limits
    place: np.ndarray | None
    long_axis: LongAxis | None
    proposals: tuple[Proposal, ...]
    notes: dict[str, str]
    evidence: Evidence
    scores: Scores
    reward: Tensor
    doubt: str

    @property
    def phrase(self) -> str:
        """What is looked for."""
        return self.phase.phrase(self.task)

    @cached_property
    def best(self) -> int:
        """Index of the candidate with the highest reward."""
        return int(self.reward.argmax())

    @cached_property
    def winner(self) -> np.ndarray:
        """``(H, 7)`` the best candidate, at rest after the frame that earned its reward; one that explores goes on."""
        if self.doubt:
            return self.evidence.actions[self.best]
        return rest_after(self.evidence.actions[self.best], int(self.scores.frame[self.best]))

    def candidates(self) -> tuple[Candidate, ...]:
        """The message's view of the verdict."""
        r = self.scores
        figures = torch.stack([self.reward, r.relevance, r.distance, r.uncertainty, r.weight, self.evidence.value], 1)
        return tuple(
            Candidate(proposal.name, proposal.poses, *row)
            for proposal, row in zip(self.proposals, figures.tolist(), strict=True)
        )


def rest_after(chunk: np.ndarray, frame: int) -> np.ndarray:
    """The chunk up to the frame that earned its reward, then at rest: what would come after was not what won."""
    rested = chunk.copy()
    rested[frame + 1 :] = chunk[frame]
    return rested


def shared_by_motion(reward: Tensor, actions: np.ndarray) -> Tensor:
    """Rewards ``(B,)`` averaged over the chunks ``(B, H, 7)`` that take the tool the same way, turned or not."""
    motions = torch.from_numpy(np.ascontiguousarray(actions[..., :3])).to(reward.device)
    alike = (motions[:, None] - motions[None]).abs().amax((-2, -1)) < 1e-4
    return alike.to(reward.dtype) @ reward / alike.sum(1)
