"""Stage ``world-model``: the EDM diffusion model, eq. 2."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor

from models.denoiser import FramesAsChannelsUNet
from models.edm import NoiseLevels, diffusion_loss
from models.training.clips import Batch, Clips, swap_actions
from models.training.loop import Draw
from models.training.workshop import Workshop
from models.video_model import VideoModel

HISTORY_NOISE = 0.05
"""Largest noise on the history latents in training: imagined frames are history too, later."""


class WorldModelStage:
    """See the module's docstring."""

    name = "world-model"

    def __init__(self, workshop: Workshop) -> None:
        self.edm = workshop.preset.edm
        self.clips, self.held_out = workshop.clips(workshop.training), workshop.clips(workshop.held_out)
        self.scale = self._fixed_scale(workshop)
        torch.manual_seed(workshop.preset.loops[self.name].seed)
        denoiser = FramesAsChannelsUNet(workshop.preset.denoiser)
        denoiser.second_time.requires_grad_(False)  # a diffusion model has one time
        self.module = denoiser
        self.model = workshop.wrap(denoiser, self.scale)

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        clips = self.clips.draw(batch, draw.rows)
        clean = self.model.to_changes(clips.future, clips.history)
        condition = self.model.condition(clips.history, clips.history_poses, clips.actions)
        condition = condition.with_history(noisy_history(clips.history, draw.noise))
        noise = torch.randn(clean.shape, generator=draw.noise)
        sigma = NoiseLevels().sample(batch, self.edm, draw.noise)
        network = lambda x, c_noise: self.module(x, c_noise, condition, None)  # noqa: E731
        return diffusion_loss(self.edm, network, clean, noise, sigma).mean(), {}

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        return {"change_scale": self.scale, "clips": len(self.clips), "frames": len(self.clips.latents)}

    def _fixed_scale(self, workshop: Workshop) -> list[float]:
        """Measured once per run: a run resumed on more data keeps the unit it began with."""
        file = workshop.folder / "change_scale.json"
        if not file.exists():
            file.write_text(json.dumps(change_scale(self.clips)))
        return json.loads(file.read_text())

    def metrics(self) -> dict[str, Any]:
        """Held-out error of one diffusion step relative to repeating the newest frame, and when actions are swapped."""
        return relative_errors(self.model, self.held_out.spread(256), steps=1, teacher=True)


def change_scale(clips: Clips, count: int = 1500) -> list[float]:
    """Standard deviation of the latent change after 1..H frames."""
    batch = clips.spread(count)
    changes = batch.future - batch.history[:, -1:]
    return [round(value, 4) for value in changes.square().mean(dim=(0, 2, 3, 4)).sqrt().tolist()]


def noisy_history(history: Tensor, generator: torch.Generator) -> Tensor:
    """History latents with a little noise, of another strength in every row."""
    strength = HISTORY_NOISE * torch.rand(len(history), 1, 1, 1, 1, generator=generator)
    return history + strength * torch.randn(history.shape, generator=generator)


@torch.no_grad()
def relative_errors(model: VideoModel, batch: Batch, steps: int, teacher: bool = False) -> dict[str, Any]:
    """Squared latent error over that of repeating the newest frame, per imagined frame; and with swapped actions."""
    model.eval()
    noise = model.initial_noise(batch.history, torch.Generator().manual_seed(1))
    swapped = swap_actions(batch)
    errors: list[Tensor] = []
    other: list[Tensor] = []
    baseline: list[Tensor] = []
    for part in torch.arange(len(batch.rows)).split(32):
        for actions, into in ((batch.actions, errors), (swapped, other)):
            imagined = model.imagine(
                batch.history[part],
                batch.history_poses[part],
                actions[part],
                steps=steps,
                noise=noise[part],
                teacher=teacher,
            )
            into.append((imagined.latents - batch.future[part]).square().mean(dim=(2, 3, 4)))
        baseline.append((batch.history[part, -1:] - batch.future[part]).square().mean(dim=(2, 3, 4)))
    mine, theirs, still = (torch.cat(parts).mean(0) for parts in (errors, other, baseline))
    return {
        "relative error": round((mine.mean() / still.mean()).item(), 4),
        "relative error per frame": [round(value, 4) for value in (mine / still).tolist()],
        "swapped-action error ratio": round((theirs.mean() / mine.mean()).item(), 3),
    }
