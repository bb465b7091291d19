"""What `vidplan evaluate` measures, on held-out clips of a dataset."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from models.bundle import Bundle
from models.data import Dataset
from models.interfaces import Imagined
from models.metrics import psnr, uncertainty_figures, value_figures
from models.training.clips import Batch, Clips, swap_actions
from models.training.heads_stage import ask, relevance_of
from models.training.outcomes import read_outcomes, returns_of
from models.training.semantic_stage import semantic_figures

CHANGED = 0.08
"""A pixel has changed when a colour differs by more than this from the newest frame."""
CHUNK = 16


@dataclass(frozen=True)
class Sample:
    """Frames for a picture: rows of clips.

    Attributes:
        current: ``(N, V, h, w, 3)`` newest observed frames.
        real: ``(N, V, h, w, 3)`` last real frames of the horizon.
        imagined: Number of steps -> ``(N, V, h, w, 3)`` last imagined frames.
        h: ``(N, V, a, b)`` uncertainty of the last frame at one step.
    """

    current: np.ndarray
    real: np.ndarray
    imagined: dict[str, np.ndarray]
    h: np.ndarray


@torch.no_grad()
def measure(
    bundle: Bundle, data: Path, clips: int, steps: tuple[int, ...], teacher_steps: int
) -> tuple[dict[str, Any], Sample]:
    """All figures of a bundle on the ``val`` split of ``data``, and frames for a picture.

    Raises:
        DatasetError: The data cannot be used.
    """
    config = bundle.config
    dataset = Dataset(data, "val", image_size=config.image_size, views=config.views)
    batch = _encode(bundle, dataset, clips)
    pixels = _Pixels(bundle, dataset, batch)
    noise = bundle.world_model.initial_noise(batch.history, torch.Generator().manual_seed(0))
    results: dict[str, Any] = {
        "bundle": config.name,
        "hash": bundle.hash,
        "data": {"episodes": len(dataset.episodes), "frames": len(dataset), "clips": len(batch.rows)},
        "repeat the newest frame": pixels.figures(pixels.current[:, None].expand_as(pixels.real)),
        "autoencoder bound": pixels.figures(pixels.decode(batch.future)),
    }
    imagined: dict[str, Imagined] = {}
    walks = [(f"{count} step(s)", count, False) for count in steps]
    for name, count, teacher in [*walks, (f"diffusion, {teacher_steps} steps", teacher_steps, True)]:
        began = time.perf_counter()
        imagined[name] = _imagine(bundle, batch, batch.actions, noise, count, teacher, name)
        seconds = time.perf_counter() - began
        swapped = _imagine(bundle, batch, swap_actions(batch), noise, count, teacher, f"{name}, swapped actions")
        results[name] = {
            **pixels.figures(pixels.decode(imagined[name].latents)),
            **latent_figures(imagined[name].latents, swapped.latents, batch),
            "ms per clip": round(1000 * seconds / len(batch.rows), 1),
        }
    first = imagined[walks[0][0]]
    teacher_name = f"diffusion, {teacher_steps} steps"
    results["agreement with the diffusion model on the same noise"] = {
        name: round(_relative(found.latents, imagined[teacher_name].latents, batch), 4)
        for name, found in imagined.items()
        if name != teacher_name
    }
    results["uncertainty"] = uncertainty_figures(bundle.uncertainty, first, batch.future)
    if dataset.classes:
        results["value"] = _value(bundle, dataset, batch, first)
        current, ends = batch.history[:, -1:], first.latents[:, -1:]
        seen = dataset.segmentation
        results["semantic, real frames"] = semantic_figures(
            bundle.semantic, current, seen[batch.rows], dataset.classes, config.views
        )
        results["semantic, imagined frames (5th)"] = semantic_figures(
            bundle.semantic, ends, seen[batch.rows + config.horizon], dataset.classes, config.views
        )
    return results, _sample(bundle, pixels, batch, imagined, first)


def latent_figures(imagined: Tensor, swapped: Tensor, batch: Batch) -> dict[str, Any]:
    """Squared latent error over that of repeating the newest frame, and how much worse swapped actions make it."""
    error = (imagined - batch.future).square().mean(dim=(0, 2, 3, 4))
    still = (batch.history[:, -1:] - batch.future).square().mean(dim=(0, 2, 3, 4))
    other = (swapped - batch.future).square().mean()
    return {
        "relative latent error": round((error.mean() / still.mean()).item(), 4),
        "relative latent error per frame": [round(value, 3) for value in (error / still).tolist()],
        "swapped-action error ratio": round((other / error.mean()).item(), 3),
    }


class _Pixels:
    """PSNR of decoded futures against the real frames."""

    def __init__(self, bundle: Bundle, dataset: Dataset, batch: Batch) -> None:
        self.bundle, horizon = bundle, bundle.config.horizon
        self.current = torch.from_numpy(dataset.frames[batch.rows]).float() / 255
        ahead = batch.rows[:, None] + np.arange(1, horizon + 1)
        self.real = torch.from_numpy(dataset.frames[ahead]).float() / 255
        self.changed = (self.real - self.current[:, None]).abs().amax(-1) > CHANGED

    def decode(self, latents: Tensor) -> Tensor:
        return torch.cat([self.bundle.world_model.decode(part) for part in latents.split(CHUNK)]).float() / 255

    def figures(self, frames: Tensor) -> dict[str, float]:
        """PSNR [dB] over all frames, over changed pixels, and over those of the last frame by view."""
        error = (frames - self.real).square().mean(-1)
        views = self.bundle.config.views
        last, changed = error[:, -1], self.changed[:, -1]
        return {
            "psnr": psnr(error.mean().item()),
            "psnr changed": psnr(error[self.changed].mean().item()),
            "psnr changed, last frame": psnr(last[changed].mean().item()),
            **{
                f"psnr changed, last frame, {view}": psnr(last[:, index][changed[:, index]].mean().item())
                for index, view in enumerate(views)
            },
        }


def _encode(bundle: Bundle, dataset: Dataset, count: int) -> Batch:
    config = bundle.config
    needed = Clips(dataset, np.zeros((len(dataset), 0)), config.history_offsets, config.horizon)
    picked = needed.starts[np.linspace(0, len(needed.starts) - 1, min(count, len(needed.starts))).astype(int)]
    encode = bundle.world_model.encode
    latents: dict[int, Tensor] = {}
    wanted = sorted({int(row + offset) for row in picked for offset in (*config.history_offsets, *needed.ahead)})
    for start in tqdm(range(0, len(wanted), CHUNK), "encode", unit="chunk"):
        rows = wanted[start : start + CHUNK]
        for row, latent in zip(rows, encode(torch.from_numpy(dataset.frames[rows])[None])[0], strict=True):
            latents[row] = latent
    bare = needed.at(picked)
    gather = lambda offsets: torch.stack([torch.stack([latents[int(r + o)] for o in offsets]) for r in picked])  # noqa: E731
    return replace(bare, history=gather(config.history_offsets), future=gather(needed.ahead))


def _imagine(
    bundle: Bundle, batch: Batch, actions: Tensor, noise: Tensor, steps: int, teacher: bool, name: str
) -> Imagined:
    parts = [
        bundle.world_model.imagine(
            batch.history[rows],
            batch.history_poses[rows],
            actions[rows],
            steps=steps,
            noise=noise[rows],
            teacher=teacher,
        )
        for rows in tqdm(list(_chunks(len(noise))), name, unit="chunk")
    ]
    latents = torch.cat([part.latents for part in parts])
    return Imagined(latents, batch.history, batch.history_poses, actions)


def _value(bundle: Bundle, dataset: Dataset, batch: Batch, imagined: Imagined) -> dict[str, Any]:
    outcomes = read_outcomes(dataset)
    asked = ask(outcomes, batch.rows, np.random.default_rng(0))
    phrases = [outcomes.phrases[index] for index in asked]
    parts = []
    for rows in _chunks(len(asked)):
        part = Imagined(*(getattr(imagined, f)[rows] for f in ("latents", "history", "history_poses", "actions")))
        relevance = relevance_of(bundle.semantic, part.latents, [phrases[row] for row in rows])
        parts.append(bundle.value(part, relevance))
    returns = returns_of(outcomes, batch.rows, asked, bundle.config.horizon, bundle.config.gamma)
    return value_figures(bundle.value, torch.cat(parts), returns)


def _relative(latents: Tensor, reference: Tensor, batch: Batch) -> float:
    moved = (batch.history[:, -1:] - reference).square().mean()
    return ((latents - reference).square().mean() / moved).item()


def _chunks(count: int) -> Iterator[Tensor]:
    yield from torch.arange(count).split(CHUNK)


def _sample(
    bundle: Bundle, pixels: _Pixels, batch: Batch, imagined: dict[str, Imagined], first: Imagined, count: int = 8
) -> Sample:
    motion = pixels.changed[:, -1].float().mean(dim=(1, 2, 3))
    lively = motion.argsort(descending=True)[: len(motion) // 2]
    rows = lively[:: max(1, len(lively) // count)][:count]
    to_bytes: Callable[[Tensor], np.ndarray] = lambda x: (x * 255).byte().numpy()  # noqa: E731
    chosen = Imagined(*(getattr(first, f)[rows] for f in ("latents", "history", "history_poses", "actions")))
    return Sample(
        current=to_bytes(pixels.current[rows]),
        real=to_bytes(pixels.real[rows, -1]),
        imagined={
            name: bundle.world_model.decode(found.latents[rows, -1:])[:, 0].numpy() for name, found in imagined.items()
        },
        h=bundle.uncertainty(chosen).h[:, -1].numpy(),
    )


def picture(sample: Sample, path: Path) -> None:
    """PNG: a column per clip; downwards: now, real future, imagined futures, uncertainty; views side by side."""
    import cv2

    join = lambda views: np.concatenate(list(views), axis=1)  # noqa: E731
    rows = [("now", sample.current), ("real, 1 s later", sample.real), *sample.imagined.items()]
    columns, scale = [], 2
    size = sample.current.shape[3], sample.current.shape[2]
    for clip in range(len(sample.current)):
        tiles = [join(frames[clip]) for _, frames in rows]
        heat = [
            cv2.applyColorMap(
                cv2.resize((view * 255).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), cv2.COLORMAP_JET
            )
            for view in sample.h[clip]
        ]
        tiles.append(join(heat)[..., ::-1])
        columns.append(np.concatenate([np.pad(tile, ((0, 2), (0, 4), (0, 0))) for tile in tiles]))
    half = (len(columns) + 1) // 2
    blocks = [np.concatenate(columns[:half], axis=1)]
    if len(columns) % 2 == 0 and len(columns) > 1:
        blocks.append(np.concatenate(columns[half:], axis=1))
    image = np.concatenate(blocks)[..., ::-1]
    cv2.imwrite(
        str(path), cv2.resize(np.ascontiguousarray(image), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    )
