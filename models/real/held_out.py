"""Held-out figures of what was trained on real footage, and the table that shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.real.clips import ObservedClips
from models.training.clips import Batch

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]
"""History latents, history poses and actions of some clips -> their future latents (B, H, C, V*h, w)."""
CLIPS = 256
CHUNK = 16


@torch.no_grad()
def predicted(predict: Predict, batch: Batch, actions: Tensor) -> Tensor:
    """Future latents ``(B, H, C, V*h, w)`` of all clips of a batch under ``actions`` (B, H, 7)."""
    parts = torch.arange(len(batch.rows)).split(CHUNK)
    return torch.cat([predict(batch.history[part], batch.history_poses[part], actions[part]) for part in parts])


@torch.no_grad()
def latent_figures(predict: Predict, clips: ObservedClips, batch: Batch) -> tuple[dict[str, Any], Tensor]:
    """Squared latent error over that of repeating the current frame, and how much worse swapped actions make it.

    Returns:
        The figures, and the predictions ``(B, H, C, V*h, w)`` they are of.
    """
    futures = predicted(predict, batch, batch.actions)
    error = (futures - batch.future).square().mean(dim=(0, 2, 3, 4))
    still = (batch.history[:, -1:] - batch.future).square().mean(dim=(0, 2, 3, 4))
    figures = {
        "clips": len(batch.rows),
        "mse": _rounded(error.mean()),
        "repeat_mse": _rounded(still.mean()),
        "relative_error": _rounded(error.mean() / still.mean()),
        "relative_error_per_frame": [_rounded(value) for value in error / still],
        "swapped_error_ratio": None,
    }
    other = clips.swapped_actions(batch)
    if other is not None:
        swapped = (predicted(predict, batch, other) - batch.future).square().mean()
        figures["swapped_error_ratio"] = _rounded(swapped / error.mean())
    return figures, futures


def history_blend(batch: Batch) -> Predict:
    """The best linear blend of the history frames for each future frame, fitted on some clips.

    It knows nothing of actions or motion, only that averaging takes out the noise of the single frame: what a trained
    model has to beat before its error says anything about prediction.
    """
    frames = batch.history.transpose(0, 1).flatten(1)
    targets = batch.future.transpose(0, 1).flatten(1)
    weights = torch.linalg.solve(frames @ frames.T, frames @ targets.T)  # (T, H)
    return lambda history, poses, actions: torch.einsum("btcij,th->bhcij", history, weights)


def as_table(columns: dict[str, dict[str, Any] | None], rows: dict[str, str]) -> str:
    """A text table of figures.

    Args:
        columns: Heading -> figures; columns without figures are left out.
        rows: Key of a figure -> what it is called. A list of figures becomes one row per frame.
    """
    shown = {heading: figures for heading, figures in columns.items() if figures}
    lines = [["", *shown]]
    for key, name in rows.items():
        values = [figures.get(key) for figures in shown.values()]
        longest = max((len(value) for value in values if isinstance(value, list)), default=0)
        for frame in range(longest):
            cells = [_cell(value[frame]) if isinstance(value, list) else "-" for value in values]
            lines.append([f"{name}, frame {frame + 1}", *cells])
        if not longest and any(value is not None for value in values):
            lines.append([name, *(_cell(value) for value in values)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in row)
        for row in (enumerate(zip(line, widths, strict=True)) for line in lines)
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def _rounded(value: Tensor) -> float:
    return round(value.item(), 4)
