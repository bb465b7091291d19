"""Stage ``world-model``: the EDM diffusion model, eq. 2."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.conditioning import Condition
from models.denoiser import FramesAsChannelsUNet
from models.edm import NoiseLevels, diffusion_loss
from models.training.clips import Batch, Clips, swap_actions
from models.training.loop import Draw
from models.training.samples import sample_videos
from models.training.workshop import Workshop
from models.video_model import VideoModel

HISTORY_NOISE = 0.05
"""Largest noise on the history latents in training."""
IMAGINED_SHARE = 0.25
"""Share of clips that go on from what the model itself imagined: imagined frames are history too, later."""
UNTOLD_SHARE = 0.08
"""Share of clips that are told nothing of the actions, for classifier-free guidance of the teacher."""


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
        clips = training_clips(self.clips, self.model, batch, draw, steps=0)
        clean = self.model.to_changes(clips.future, clips.history)
        condition = condition_of(self.model, clips, batch, draw)
        untold = draw.mine(torch.rand(batch, generator=draw.noise) < UNTOLD_SHARE)
        condition = condition.without_actions(untold)
        noise = draw.mine(torch.randn(batch, *clean.shape[1:], generator=draw.noise))
        sigma = draw.mine(NoiseLevels().sample(batch, self.edm, draw.noise))
        network = lambda x, c_noise: self.module(x, c_noise, condition, None)  # noqa: E731
        return diffusion_loss(self.edm, network, clean, noise, sigma).mean(), {}

    def samples(self) -> dict[str, np.ndarray]:
        """See `engine_run.ShowsSamples`: the expected future."""
        return sample_videos(self.model, self.held_out, 0)

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        return {"change_scale": self.scale, "clips": len(self.clips), "frames": len(self.clips.latents)}

    def _fixed_scale(self, workshop: Workshop) -> list[float]:
        """Measured once per run: a run resumed on more data keeps the unit it began with."""
        file = workshop.folder / "world-model.scale.json"
        if not file.exists():
            file.write_text(json.dumps(change_scale(self.clips)))
        return json.loads(file.read_text())

    def metrics(self) -> dict[str, Any]:
        """Held-out error of the expected future relative to repeating the newest frame; and under swapped actions."""
        return relative_errors(self.model, self.held_out.spread(256), steps=0)


def training_clips(clips: Clips, model: VideoModel, batch: int, draw: Draw, steps: int) -> Batch:
    """This process's share of ``batch`` random clips, some with a history imagined in ``steps`` flow map steps."""
    rows = clips.choose(batch, draw.rows)
    back = draw.mine(clips.choose_back(rows, IMAGINED_SHARE, draw.rows))
    mine = draw.place(clips.at(draw.mine(rows)))
    noise = draw.mine(torch.randn(batch, *mine.future.shape[1:], generator=draw.noise))

    @torch.no_grad()
    def imagine(earlier: Batch, indices: np.ndarray) -> Tensor:
        earlier, start = draw.place(earlier), noise[torch.from_numpy(indices)]
        return model.imagine(earlier.history, earlier.history_poses, earlier.actions, noise=start, steps=steps).latents

    return clips.live_on(mine, back, imagine)


def condition_of(model: VideoModel, clips: Batch, batch: int, draw: Draw) -> Condition:
    """What the denoiser is told of clips, their history a little noisy, of another strength in every row."""
    strength = HISTORY_NOISE * draw.mine(torch.rand(batch, 1, 1, 1, 1, generator=draw.noise))
    grain = draw.mine(torch.randn(batch, *clips.history.shape[1:], generator=draw.noise))
    condition = model.condition(clips.history, clips.history_poses, clips.actions)
    return condition.with_history(clips.history + strength * grain)


def change_scale(clips: Clips, count: int = 1500) -> list[float]:
    """Standard deviation of the latent change after 1..H frames."""
    batch = clips.spread(count)
    changes = batch.future - batch.history[:, -1:]
    return [round(value, 4) for value in changes.square().mean(dim=(0, 2, 3, 4)).sqrt().tolist()]


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
