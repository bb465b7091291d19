"""How well a bundle predicts real footage, in its latents and in pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.data import Dataset
from models.metrics import psnr
from models.real.clips import ObservedClips
from models.real.held_out import CHUNK, CLIPS, latent_figures

CHANGED = 0.08
"""A pixel has changed when a colour differs by more than this from the current frame."""


@torch.no_grad()
def pixel_figures(bundle: Bundle, split: Dataset, clips: ObservedClips) -> dict[str, Any]:
    """Figures of up to 256 clips, predicted as the expected future.

    True and swapped actions see the same noise.

    Args:
        bundle: What predicts.
        split: Where the frames are.
        clips: Clips of the same split, encoded by the bundle's autoencoder.
    """
    model = bundle.world_model.eval()

    def predict(history: Tensor, poses: Tensor, actions: Tensor) -> Tensor:
        noise = model.initial_noise(history, torch.Generator().manual_seed(1))
        return model.imagine(history, poses, actions, steps=0, noise=noise).latents

    batch = clips.spread(CLIPS)
    figures, futures = latent_figures(predict, clips, batch)
    errors: dict[str, list[Tensor]] = {"psnr": [], "repeat_psnr": [], "bound_psnr": []}
    changed = []
    for part in torch.arange(len(batch.rows)).split(CHUNK):
        rows = batch.rows[part.numpy()]
        real = torch.from_numpy(split.frames[rows[:, None] + np.arange(1, bundle.config.horizon + 1)])
        current = torch.from_numpy(split.frames[rows])[:, None].expand_as(real)
        changed.append((real.float() - current.float()).abs().amax(-1) > CHANGED * 255)
        errors["psnr"].append(_squared_error(model.decode(futures[part]), real))
        errors["repeat_psnr"].append(_squared_error(current, real))
        errors["bound_psnr"].append(_squared_error(model.decode(batch.future[part]), real))
    where = torch.cat(changed)
    for name, parts in errors.items():
        error = torch.cat(parts)
        figures[name] = psnr(error.mean().item())
        figures[f"{name}_per_frame"] = [psnr(value) for value in error.mean(dim=(0, 2, 3, 4)).tolist()]
        figures[f"{name}_changed"] = psnr(error[where].mean().item())
    return figures


@torch.no_grad()
def reconstruction_psnr(bundle: Bundle, split: Dataset) -> float:
    """PSNR [dB] of the frames of a split after encoding and decoding."""
    model = bundle.world_model.eval()
    errors = []
    for rows in np.array_split(np.arange(len(split)), max(1, len(split) // CHUNK)):
        images = torch.from_numpy(split.frames[rows])[None]
        errors.append(_squared_error(model.decode(model.encode(images)), images)[0].flatten(1).mean(1))
    return psnr(torch.cat(errors).mean().item())


def _squared_error(images: Tensor, real: Tensor) -> Tensor:
    """Squared error of uint8 images ``(..., 3)`` in [0, 1], averaged over the colours: ``(...)``."""
    return ((images.float() - real.float()) / 255).square().mean(-1)
