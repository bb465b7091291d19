"""J(a), what the local planners raise: the sum over the frames of w(h) E[V] (Algorithm 3)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from models.bundle import Bundle
from planner_server.config import PlannerConfig
from planner_server.imagination import Scene, shared_noise
from planner_server.weighting import confidence_weight

NEXT_SEED = 7919
"""Between the seeds of two draws of noise, so that successive plans share none."""


class ExpectedReturn:
    """J over one scene.

    The gradient goes through R_l and the flow map into the actions, as in the paper; w(h) weighs the frames and is held
    constant, or the chunk would be drawn to standing still, of which every model is sure.
    """

    def __init__(self, bundle: Bundle, scene: Scene, phrase: str, config: PlannerConfig, seed: int) -> None:
        self._bundle, self._scene, self._phrase, self._config, self._seed = bundle, scene, phrase, config, seed

    def __call__(self, chunks: Tensor, draw: int = 0) -> Tensor:
        """J ``(B,)`` of chunks ``(B, H, 7)``, see `local_planners.interfaces.Objective`."""
        scene = self._scene
        if draw:
            noise = shared_noise(scene.history, chunks.shape[1], self._seed + NEXT_SEED * draw)
            scene = replace(scene, noise=noise)
        o = scene.imagine(self._bundle.world_model, chunks, self._config.flow_steps)
        with torch.no_grad():
            h = self._bundle.uncertainty(o).h.mean((2, 3, 4))
            w = confidence_weight(h, self._config.doubt, self._config.weighting)
        relevance = self._bundle.semantic.relevance(o.latents, self._phrase)
        V = self._bundle.value.expected(self._bundle.value(o, relevance))
        return (w * V).sum(1)
