"""Stage ``familiarity``: the alarm for unfamiliar scenes, from training frames with strange things pasted in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.autoencoder import FOLD
from models.training.latents import open_latents
from models.training.loop import Draw
from models.training.pasting import Paster
from models.training.workshop import Workshop
from models.uncertainty.familiarity import Familiarity, FamiliarityConfig

FRAMES = 8000
"""Training frames the scene's statistics are taken from."""
HELD_OUT = 1500
"""Held-out frames that calibrate the scores."""
CHUNK = 50
IGNORED = -100
"""Of a patch with too little of a thing to be called that."""
CALIBRATION = ("view_scale", "state_scale", "percentiles")


class FamiliarityStage:
    """The network learns the classes of patches, strange things being one more; the rest is counted."""

    name = "familiarity"

    def __init__(self, workshop: Workshop) -> None:
        preset, training = workshop.preset, workshop.training
        workshop.require_labels("familiarity")
        self.autoencoder, self.semantic = workshop.autoencoder(), workshop.semantic()
        latents = open_latents(self.autoencoder, training, workshop.latents)
        self.held_out = open_latents(self.autoencoder, workshop.held_out, workshop.latents)
        self.paster = Paster(training, len(latents))
        torch.manual_seed(preset.loops[self.name].seed)
        self.module = Familiarity(FamiliarityConfig.of(preset.semantic, preset.latent_size, len(training.classes)))
        some = torch.from_numpy(latents[:: max(1, len(latents) // FRAMES)].astype(np.float32))
        self.module.fit_scene(some.mean(dim=0), some.std(dim=0))

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        seeds = draw.mine(draw.rows.integers(2**62, size=batch))
        states = [self.paster.state(np.random.default_rng(seed)) for seed in seeds]
        pictures, classes = (draw.place(torch.from_numpy(np.stack(part))) for part in zip(*states, strict=True))
        with torch.no_grad():
            latents = self.autoencoder.encode_frames(pictures[:, None])[:, 0]
        logits = self.module.logits(latents, self.semantic).float()
        labels = patch_labels(classes, self.paster.unknown, 8 // FOLD)
        loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(0, 1), ignore_index=IGNORED)
        strange = labels == self.paster.unknown
        found = (logits.argmax(dim=2) == self.paster.unknown)[strange].float()
        return loss, {"found": found.mean().item() if len(found) else 0.0}

    @torch.no_grad()
    def metrics(self) -> dict[str, Any]:
        """Calibrates the module on held-out frames; what their scores are, and how large the part is."""
        rows = np.linspace(0, len(self.held_out) - 1, min(HELD_OUT, len(self.held_out))).astype(int)
        parts = [
            torch.from_numpy(self.held_out[some].astype(np.float32))
            for some in np.array_split(rows, -(-len(rows) // CHUNK))
        ]
        judged = [self.module(part, self.semantic) for part in parts]
        scene, thing = (torch.cat([getattr(one, name) for one in judged]) for name in ("scene", "thing"))
        self.module.calibrate(scene, thing)
        return {
            "frames": len(rows),
            "scene": round(scene.mean().item(), 3),
            "patches held strange": round((thing > 0).float().mean().item(), 5),
            "parameters": sum(parameter.numel() for parameter in self.module.parameters()),
        }

    def notes(self) -> dict[str, Any]:
        """The calibration, which is done after the weights are settled."""
        return {name: self.module.get_buffer(name).tolist() for name in CALIBRATION}


def patch_labels(classes: Tensor, unknown: int, side: int) -> Tensor:
    """Class of every patch of ``side`` x ``side`` pixels.

    Args:
        classes: ``(B, V, rows, columns)`` class ids: 0 for the background, ``unknown - 1`` for the robot, things
            between them, and ``unknown``.
        unknown: Of what is in none of the classes.
        side: Pixels.

    Returns:
        ``(B, V, rows / side, columns / side)``: the thing that covers most of the patch where it covers a quarter,
        `IGNORED` where one covers less, else whichever of robot and background covers more.
    """
    shares = functional.one_hot(classes.long(), unknown + 1).movedim(-1, 2).float()
    shares = functional.avg_pool2d(shares.flatten(0, 1), side).unflatten(0, shares.shape[:2])
    robot = unknown - 1
    things = torch.cat([shares[:, :, 1:robot], shares[:, :, unknown:]], dim=2)
    most, thing = things.max(dim=2)
    thing = torch.where(thing == robot - 1, unknown, thing + 1)
    ground = torch.where(shares[:, :, robot] > shares[:, :, 0], robot, 0)
    return torch.where(most >= 0.25, thing, torch.where(most > 0, IGNORED, ground))
