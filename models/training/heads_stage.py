"""Stage ``heads``: uncertainty and value heads on what the finished flow map imagines, which stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.interfaces import Imagined
from models.metrics import uncertainty_figures, value_figures
from models.semantic import SemanticHead
from models.training.clips import Batch
from models.training.disturbances import disturb
from models.training.loop import Draw
from models.training.outcomes import Outcomes, read_outcomes, returns_of
from models.training.workshop import Workshop
from models.training.world_model_stage import training_clips
from models.uncertainty import UncertaintyHead
from models.value import ValueHead

STEPS = (0, 0, 0, 1, 1, 4)
"""Flow map steps to learn from, drawn evenly; 0 is the expected future, with which planners look ahead."""
REAL_SHARE = 0.25
"""Share of steps in which the value head sees the real future instead of the imagined one."""
DISTURBED_SHARE = 0.25
"""Share of clips that no recording shows (see `disturbances`)."""
ERROR_BINS, RETURN_BINS = 30, 20
TARGET_SHARE = 0.6
"""Share of rows asked about the instructed object; the others ask about any object on the table."""


class HeadsStage:
    """See the module's docstring."""

    name = "heads"

    def __init__(self, workshop: Workshop) -> None:
        preset = workshop.preset
        self.gamma = preset.gamma
        self.clips, self.held_out = workshop.clips(workshop.training), workshop.clips(workshop.held_out)
        self.outcomes, self.held_out_outcomes = read_outcomes(workshop.training), read_outcomes(workshop.held_out)
        self.model, self.semantic = workshop.video_model("flow-map").eval(), workshop.semantic()
        self.highest = self._error_range()
        torch.manual_seed(preset.loops[self.name].seed)
        conditioner = self.model.conditioner
        self.uncertainty = UncertaintyHead(preset.head(ERROR_BINS, self.highest), conditioner)
        self.value = ValueHead(preset.head(RETURN_BINS, 1.0), conditioner)
        self.module = nn.ModuleDict({"uncertainty": self.uncertainty, "value": self.value})

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        steps = int(draw.rows.choice(STEPS))
        clips = training_clips(self.clips, self.model, batch, draw, steps=min(steps, 1))
        per_row = [np.random.default_rng(seed) for seed in draw.mine(draw.rows.integers(2**62, size=batch))]
        maps_of = self.model.conditioner.heat_maps
        clips = disturb(self.clips, clips, DISTURBED_SHARE, self.model.autoencoder, maps_of, per_row)
        noise = draw.mine(torch.randn(batch, *clips.future.shape[1:], generator=draw.noise))
        imagined = self._imagine(clips, steps, noise)
        some = torch.from_numpy(judged_maps(clips.actions.shape[1] * self.model.views, per_row))
        uncertainty = self.uncertainty.loss(imagined, clips.future, draw.place(some))

        seen = imagined
        if draw.rows.random() < REAL_SHARE:
            seen = Imagined(clips.future, clips.history, clips.history_poses, clips.actions)
        asked = ask(self.outcomes, clips.rows, per_row)
        relevance = relevance_of(self.semantic, seen.latents, [self.outcomes.phrases[index] for index in asked])
        returns = draw.place(self._returns(self.outcomes, clips, asked))
        value = self.value.loss(seen, relevance, returns)
        return uncertainty + value, {"uncertainty": uncertainty.item(), "value": value.item()}

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        return {"error_range": self.highest, "error_bins": ERROR_BINS, "return_bins": RETURN_BINS, "gamma": self.gamma}

    @torch.no_grad()
    def metrics(self) -> dict[str, Any]:
        """Calibration of both heads on held-out clips, of the expected future."""
        clips = self.held_out.spread(128)
        imagined = self._imagine(clips, 0, self.model.initial_noise(clips.history, torch.Generator().manual_seed(3)))
        asked = ask(self.held_out_outcomes, clips.rows, [np.random.default_rng([3, row]) for row in clips.rows])
        relevance = relevance_of(
            self.semantic, imagined.latents, [self.held_out_outcomes.phrases[index] for index in asked]
        )
        probabilities = self.value(imagined, relevance)
        returns = self._returns(self.held_out_outcomes, clips, asked)
        return {
            "uncertainty": uncertainty_figures(self.uncertainty, imagined, clips.future),
            "value": value_figures(self.value, probabilities, returns),
        }

    @torch.no_grad()
    def _imagine(self, clips: Batch, steps: int, noise: Tensor) -> Imagined:
        return self.model.imagine(clips.history, clips.history_poses, clips.actions, steps=steps, noise=noise)

    def _returns(self, outcomes: Outcomes, clips: Batch, asked: np.ndarray) -> Tensor:
        return returns_of(outcomes, clips.rows, asked, clips.actions.shape[1], self.gamma)

    def _error_range(self) -> float:
        clips = self.clips.spread(192)
        imagined = self._imagine(clips, 1, self.model.initial_noise(clips.history, torch.Generator().manual_seed(2)))
        errors = (imagined.latents - clips.future).abs().flatten()
        return round(float(np.quantile(errors[:: max(1, len(errors) // 2_000_000)].numpy(), 0.999)), 2)


@torch.no_grad()
def relevance_of(semantic: SemanticHead, latents: Tensor, phrases: list[str]) -> Tensor:
    """Relevance ``(B, H, V, a, b)`` of one phrase per row of ``(B, H, C, V*h, w)`` latents."""
    names = sorted(set(phrases))
    scores = semantic.logits(latents, names).float().sigmoid()
    return scores[torch.arange(len(phrases)), torch.tensor([names.index(phrase) for phrase in phrases])]


def judged_maps(maps: int, per_row: list[np.random.Generator]) -> np.ndarray:
    """Indices of a third of the maps of every row, in the flat order of `UncertaintyHead.loss`."""
    chosen = [rng.choice(maps, size=max(1, maps // 3), replace=False) for rng in per_row]
    return np.concatenate([row * maps + own for row, own in enumerate(chosen)])


def ask(outcomes: Outcomes, rows: np.ndarray, per_row: list[np.random.Generator]) -> np.ndarray:
    """Object to ask about for each row: mostly the instructed one, else any on the table."""
    asked = []
    for episode, rng in zip(outcomes.episode_of[rows], per_row, strict=True):
        target = outcomes.target[episode]
        on_table = np.flatnonzero(outcomes.present[episode])
        if target >= 0 and (rng.random() < TARGET_SHARE or not len(on_table)):
            asked.append(target)
        else:
            asked.append(rng.choice(on_table) if len(on_table) else 0)
    return np.array(asked)
