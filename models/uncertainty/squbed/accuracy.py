"""Accuracy of generated videos against what really happened, its rank correlation with uncertainty (Section 5.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor

from models.errors import ModelsError
from models.evaluation.lpips import Lpips, load_lpips
from models.evaluation.ssim import mean_ssim, ssim_map
from models.uncertainty.squbed.estimate import Estimate
from models.uncertainty.squbed.interfaces import Task, VideoEmbedder
from models.uncertainty.squbed.samples import Accuracy
from models.video_files import Video

FEWEST = 3
SIGNIFICANT = 0.01


class Accuracies:
    """SSIM, PSNR, LPIPS where its weights are given, and the cosine of video embeddings (CLIP score with CLIP).

    Videos and reference are brought to the reference's size by area averaging, the longer one is thinned out evenly,
    as in appendix A.1. All are accuracies: LPIPS has its sign turned.
    """

    def __init__(self, embedder: VideoEmbedder, lpips: Path | None = None) -> None:
        self._embedder = embedder
        self._lpips: Lpips | None = load_lpips(lpips) if lpips else None

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is measured."""
        return ("ssim", "psnr", *(("lpips",) if self._lpips else ()), "embedding")

    def of(self, task: Task) -> Accuracy | None:
        """The measure for a task's videos, None where it has no reference.

        Raises:
            ModelsError: The reference cannot be read.
        """
        if task.reference is None:
            return None
        reference = read_video(task.reference)
        return lambda videos: self._measure(videos, reference)

    def _measure(self, videos: np.ndarray, reference: np.ndarray) -> Mapping[str, float]:
        pixels = pixel_accuracies(videos, reference, self._lpips)
        return {**pixels, "embedding": self._cosine(videos, reference)}

    def _cosine(self, videos: np.ndarray, reference: np.ndarray) -> float:
        seen = resized(reference, videos.shape[2:4])[None]
        frames = min(videos.shape[1], len(reference))
        made = self._embedder.embed(np.stack([thinned(video, frames) for video in videos]))
        real = self._embedder.embed(thinned(seen[0], frames)[None])[0]
        cosines = made @ real / np.linalg.norm(made, axis=1) / np.linalg.norm(real)
        return float(cosines.mean())


def pixel_accuracies(videos: np.ndarray, reference: np.ndarray, lpips: Lpips | None = None) -> dict[str, float]:
    """SSIM, PSNR [dB] and, with its network, LPIPS with its sign turned; means over the videos.

    Args:
        videos: ``(m, T, rows, columns, 3)`` uint8 RGB.
        reference: ``(T', rows', columns', 3)``, to whose size and, where it is shorter, length they are brought.
        lpips: The network.
    """
    frames = min(videos.shape[1], len(reference))
    real = _unit(thinned(reference, frames))
    figures: dict[str, list[float]] = {name: [] for name in ("ssim", "psnr", *(("lpips",) if lpips else ()))}
    for video in videos:
        made = _unit(resized(thinned(video, frames), reference.shape[1:3]))
        figures["ssim"].append(mean_ssim(ssim_map(made, real)))
        figures["psnr"].append(-10 * float(np.log10(max((made - real).square().mean().item(), 1e-9))))
        if lpips:
            pair = (images.movedim(-1, 1) for images in (made, real))
            figures["lpips"].append(-lpips(*pair)[0].mean().item())
    return {name: float(np.mean(values)) for name, values in figures.items()}


def correlations(estimates: Sequence[Estimate]) -> dict[str, Any]:
    """Kendall's tau of every uncertainty with every accuracy, over the prompts that have it.

    Returns:
        By ``total``, ``aleatoric``, ``epistemic`` and metric: ``tau``, two-sided ``p``, ``n``, and ``significant`` (tau
        below zero at the 99 % level: the more uncertain, the less accurate). Empty where nothing was measured.
    """
    having: dict[str, list[Estimate]] = {}
    for entry in estimates:
        for metric in entry.accuracy:
            having.setdefault(metric, []).append(entry)
    if not having:
        return {}
    return {
        kind: {
            metric: rank_correlation(
                [getattr(entry.uncertainty, kind) for entry in entries], [entry.accuracy[metric] for entry in entries]
            )
            for metric, entries in having.items()
        }
        for kind in ("total", "aleatoric", "epistemic")
    }


def rank_correlation(uncertainty: Sequence[float], accuracy: Sequence[float]) -> dict[str, Any]:
    """Kendall's tau-b with its two-sided p-value; None where one side is constant or there are too few."""
    if len(uncertainty) < FEWEST or np.ptp(uncertainty) == 0 or np.ptp(accuracy) == 0:
        return {"tau": None, "p": None, "n": len(uncertainty), "significant": False}
    found = kendalltau(uncertainty, accuracy)
    tau, p = float(found.statistic), float(found.pvalue)
    return {
        "tau": round(tau, 4),
        "p": float(f"{p:.3g}"),
        "n": len(uncertainty),
        "significant": tau < 0 and p < SIGNIFICANT,
    }


def read_video(path: Path) -> np.ndarray:
    """Frames ``(T, rows, columns, 3)`` uint8 RGB of a ``.npy`` file or of a video at its own size.

    Raises:
        ModelsError: It is missing, damaged, or of another shape.
    """
    if path.suffix != ".npy":
        return Video(path).decode(_size(path))
    try:
        frames = np.load(path)
    except (OSError, ValueError) as error:
        raise ModelsError(f"{path} cannot be read: {error}") from error
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ModelsError(f"{path} holds {frames.dtype} {frames.shape}, need uint8 (T, rows, columns, 3)")
    return frames


def thinned(video: np.ndarray, frames: int) -> np.ndarray:
    """``frames`` frames spread evenly over a video ``(T, ...)``."""
    return video[np.linspace(0, len(video) - 1, frames).round().astype(int)]


def resized(video: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A video ``(T, rows, columns, 3)`` at another (rows, columns)."""
    if tuple(video.shape[1:3]) == tuple(size):
        return video
    rows, columns = size
    return np.stack([cv2.resize(frame, (columns, rows), interpolation=cv2.INTER_AREA) for frame in video])


def _unit(video: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(video)).float() / 255


def _size(path: Path) -> tuple[int, int]:
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            return stream.height, stream.width
    except (av.FFmpegError, OSError, IndexError) as error:
        raise ModelsError(f"{path} is no video that can be read: {error}") from error
