"""Clips as no training recording shows them, for the uncertainty head: another light, bumped cameras, unknown things.

The video model never trains on these, so its errors on them are real; a head that only ever saw the model at home would
be sure of itself everywhere. Strengths are drawn widely; the simulator's own out-of-distribution recordings (another
renderer's light, cameras that really moved, objects with a shape) are made in another way and kept for measuring.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from models.autoencoder import Autoencoder, warp
from models.cameras import ToolHeatMaps
from models.conditioning import pose_matrix
from models.training.clips import Batch, Clips

KINDS = ("light", "camera", "stranger")
TABLE_LOW, TABLE_HIGH = (0.34, -0.26), (0.66, 0.26)
"""Metres: where unknown things are put on the table."""


def disturb(
    clips: Clips,
    batch: Batch,
    share: float,
    autoencoder: Autoencoder,
    spots: ToolHeatMaps,
    per_row: list[np.random.Generator],
) -> Batch:
    """The same clips, a share of them disturbed in one way each, the same way in all their frames.

    Args:
        clips: Where the batch comes from.
        batch: B clips.
        share: Of the rows to disturb.
        autoencoder: Encodes the disturbed pictures.
        spots: Projects points of the table into the views.
        per_row: B generators, of each row's fate.
    """
    chosen = np.flatnonzero([rng.random() < share for rng in per_row])
    if not len(chosen):
        return batch
    rows = batch.rows[chosen, None] + np.concatenate([clips.offsets, clips.ahead])
    pictures = torch.from_numpy(clips.data.frames[rows]).permute(0, 1, 2, 5, 3, 4).float() / 255
    poses = torch.from_numpy(clips.poses[rows])
    device = batch.history.device
    pictures, poses = pictures.to(device), poses.to(device)
    for index, row in enumerate(chosen):
        rng = per_row[row]
        kind = rng.choice(KINDS)
        if kind == "light":
            pictures[index] = relight(pictures[index], rng)
        elif kind == "camera":
            pictures[index] = bump(pictures[index], rng)
        else:
            pictures[index] = add_strangers(pictures[index], poses[index], spots, rng)
    pixels = (pictures.clamp(0, 1) * 255).round().byte().permute(0, 1, 2, 4, 5, 3)
    with torch.no_grad():
        latents = autoencoder.encode_frames(pixels).float()
    history, future = batch.history.clone(), batch.future.clone()
    history[chosen], future[chosen] = latents[:, : len(clips.offsets)], latents[:, len(clips.offsets) :]
    return replace(batch, history=history, future=future)


def relight(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Views ``(T, V, 3, H, W)`` in [0, 1] under another lamp: exposure, colour cast, contrast."""
    gain = np.exp(rng.uniform(np.log(0.35), np.log(1.8))) * (1 + rng.uniform(-0.3, 0.3, 3))
    lit = pictures * torch.from_numpy(gain).to(pictures)[:, None, None]
    return lit.clamp(1e-4, 1) ** float(rng.uniform(0.7, 1.4))


def bump(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Views ``(T, V, 3, H, W)`` of cameras that were bumped: a shift, a turn and a zoom, others for each view."""
    frames, views, _, height, width = pictures.shape
    moved = torch.empty_like(pictures)
    for view in range(views):
        angle, zoom = rng.uniform(-0.25, 0.25), np.exp(rng.uniform(-0.2, 0.2))
        c, s = zoom * np.cos(angle), zoom * np.sin(angle)
        shift = rng.uniform(-0.35, 0.35, 2)
        place = pictures.new_tensor([[c, -s * height / width, shift[0]], [s * width / height, c, shift[1]]])
        moved[:, view] = warp(pictures[:, view], place.expand(frames, 2, 3))
    return moved


def add_strangers(pictures: Tensor, poses: Tensor, spots: ToolHeatMaps, rng: np.random.Generator) -> Tensor:
    """Views ``(T, V, 3, H, W)`` with one to three blobs lying on the table, where each camera would see them.

    Args:
        pictures: The views, in [0, 1].
        poses: ``(T, 7)`` measured flange poses: a camera may ride on the arm.
        spots: Projects points.
        rng: Draws places, sizes and colours.
    """
    height, width = pictures.shape[-2:]
    down_to, across_to = (torch.arange(size, device=pictures.device) + 0.5 for size in (height, width))
    y, x = torch.meshgrid(down_to, across_to, indexing="ij")
    flanges = pose_matrix(poses)
    pictures = pictures.clone()
    for _ in range(rng.integers(1, 4)):
        radius = rng.uniform(0.02, 0.045)
        point = pictures.new_tensor([*rng.uniform(TABLE_LOW, TABLE_HIGH), radius])
        pixels, depth = spots.project(point.expand(len(poses), 1, 3), flanges)
        focal = spots.matrices[:, 0, 0]
        size = (focal * radius / depth[..., 0].clamp(min=0.05))[..., None, None]
        across, down = x - pixels[..., 0, 0, None, None], y - pixels[..., 0, 1, None, None]
        stretch, angle = rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)
        along = (across * np.cos(angle) + down * np.sin(angle)) / size
        aside = (down * np.cos(angle) - across * np.sin(angle)) / size / stretch
        shape = along.abs().maximum(aside.abs()) if rng.random() < 0.5 else (along.square() + aside.square()).sqrt()
        mask = ((1.05 - shape) * 8).clamp(0, 1) * (depth[..., 0, None, None] > 0.05)
        colour = pictures.new_tensor(rng.uniform(0, 1, 3))[:, None, None].expand(3, height, width)
        if rng.random() < 0.3:
            other = pictures.new_tensor(rng.uniform(0, 1, 3))[:, None, None]
            stripes = (along * rng.uniform(1.5, 4)).floor().remainder(2)[:, :, None]
            colour = colour * stripes + other * (1 - stripes)
        shade = 1 - 0.3 * (shape.clamp(0, 1) ** 2)
        pictures = pictures + mask[:, :, None] * (colour * shade[:, :, None] - pictures)
    return pictures
