"""J(a), what the local planners raise: the planner's rewards of one chunk, summed over its frames (Algorithm 3)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.bundle import Bundle
from models.interfaces import Imagined
from planner_server.alignment import turn_across
from planner_server.approach import beyond, metres_aside
from planner_server.centring import centres_of
from planner_server.config import PlannerConfig
from planner_server.imagination import shared_noise
from planner_server.judgement import Judgement
from planner_server.scoring import Scores, reached, score
from planner_server.strangeness import believed
from planner_server.weighting import confidence_weight

NEXT_SEED = 7919
"""Between the seeds of two draws of noise, so that successive plans share none."""
SAME = 1e-5
"""Metres or radians between two chunks that are the same: what rounding makes of one on its way."""


@dataclass(frozen=True)
class Future:
    """What was imagined of one chunk.

    Attributes:
        chunk: ``(H, 7)``.
        latents: ``(H, C, V*h, w)``.
        h: ``(H, V, h, w)`` normalised uncertainty.
        off_centre: ``(H,)`` see `local_planners.interfaces.Objective.off_centre`.
    """

    chunk: Tensor
    latents: Tensor
    h: Tensor
    off_centre: Tensor


class LocalObjective:
    """J(a) = sum over the frames of w(h) E[V] + nu r - across sin^2, around one judgement.

    * w(h) E[V] is the paper's. Its gradient goes through R_l and the flow map into the actions; w(h) is held constant,
      or the chunk would be drawn to standing still, of which every model is sure.
    * r is the global planner's semantic reward of the frame, in the views that it looked at. Its gradient goes through
      the *commanded* tool's place in the pictures, which kinematics knows, and not through the imagined object: what is
      imagined says where to go, and cannot be talked into coming nearer.
    * What is long costs ``across`` sin^2 of the angle by which the hand, as commanded, does not lie across it.
    """

    def __init__(self, bundle: Bundle, judged: Judgement, config: PlannerConfig, seed: int) -> None:
        self._bundle, self._judged, self._config, self.seed = bundle, judged, config, seed
        self._futures: list[Future] = []

    def __call__(self, chunks: Tensor, draw: int = 0) -> Tensor:
        """J ``(B,)`` of chunks ``(B, H, 7)``, see `local_planners.interfaces.Objective`."""
        scene, config, bundle = self._judged.scene, self._config, self._bundle
        if draw:
            noise = shared_noise(bundle.world_model, scene.history, self.seed + NEXT_SEED * draw)
            scene = replace(scene, noise=noise)
        o = scene.imagine(bundle.world_model, chunks, config.flow_steps)
        h = self._uncertainty(o)
        target = bundle.semantic.relevance(o.latents, self._judged.task.target)
        r = self._scores(chunks, o, h, target)
        if not draw:
            self._keep(o, h, r)
        J = confidence_weight(h.mean((2, 3, 4)), config.doubt, config.weighting) * reached(
            bundle.value.expected(bundle.value(o, target))
        )
        J = J + config.approach * r.frame_reward
        if self._judged.long_axis is not None:
            J = J - config.across * turn_across(chunks, self._judged.long_axis).sin().square()
        return J.sum(1)

    @torch.no_grad()
    def future(self, chunk: Tensor) -> Future:
        """What the plan's own noise makes of a chunk ``(H, 7)``; imagined only if that was not done yet."""
        for known in reversed(self._futures):
            if torch.allclose(known.chunk, chunk.to(known.chunk), rtol=0.0, atol=SAME):
                return known
        o = self._judged.scene.imagine(self._bundle.world_model, chunk[None], self._config.flow_steps)
        h = self._uncertainty(o)
        target = self._bundle.semantic.relevance(o.latents, self._judged.task.target)
        self._keep(o, h, self._scores(chunk[None], o, h, target))
        return self._futures[-1]

    def _keep(self, o: Imagined, h: Tensor, r: Scores) -> None:
        parts = [part.detach() for part in (o.actions, o.latents, h, r.frame_distance)]
        self._futures += [Future(*row) for row in zip(*parts, strict=True)]

    def turn(self, chunk: Tensor) -> Tensor | None:
        """Turn ``(H,)`` [rad] after which the hand grasps across what is looked for, see `Objective.turn`."""
        axis = self._judged.long_axis
        return None if axis is None or not self._config.across else turn_across(chunk, axis)

    def off_centre(self, chunk: Tensor) -> Tensor:
        """Image widths ``(H,)`` between the commanded tool and what is looked for, see `Objective.off_centre`."""
        return self.future(chunk).off_centre

    @torch.no_grad()
    def _uncertainty(self, o: Imagined) -> Tensor:
        return self._bundle.uncertainty(o).h

    def _scores(self, chunks: Tensor, o: Imagined, h: Tensor, target: Tensor) -> Scores:
        """The semantic reward, in parts, in the views that the global planner looked at."""
        judged, spec, config = self._judged, self._bundle.config, self._config
        with torch.no_grad():
            looked_for = self._bundle.semantic.relevance(o.latents, judged.phrase) if judged.phase.at_goal else target
        aside = metres_aside(chunks, judged.place)
        c = centres_of(spec.cameras, spec.image_size, chunks, beyond(aside, judged.phase.at_goal, config))
        views = judged.scores.views
        still = chunks.new_zeros(len(chunks))
        looked_for = believed(looked_for.detach(), judged.evidence.strange.later, config)
        return score(looked_for, h, c, aside, (views > 0).to(views), views, still, config)
