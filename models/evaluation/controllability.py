"""Whether the imagined video does what the actions say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.errors import ModelsError
from models.evaluation.footage import Footage
from models.evaluation.judged import Judged
from models.evaluation.options import Options
from models.evaluation.say import Say
from models.evaluation.tool_readout import ToolReadout, fit_readout, tool_points
from models.evaluation.walks import flow_map
from models.training.clips import swap_actions

AXES = ("x", "y", "z")
SHOWN = 400
"""Points in the report's scatter plots."""


def measure_controllability(
    bundle: Bundle, judged: Judged, fitting: Path | None, options: Options, say: Say
) -> dict[str, Any]:
    """Error under another clip's actions, and the imagined against the commanded motion of the tool."""
    batch, what = judged.batch, "controllability: swapped actions"
    other = flow_map(options.planner_steps).clips(
        bundle, batch, judged.noise, swap_actions(batch), lambda share: say(what, share)
    )
    own, swapped = (
        (found.latents - batch.future).square().mean(dim=(0, 2, 3, 4)) for found in (judged.imagined, other)
    )
    say("controllability: tool readout", 0.0)
    real, imagined, errors, fitted_on = _read(bundle, judged, fitting, options)
    measured = tool_points(batch.history_poses[:, -1:])
    commanded, happened = tool_points(batch.actions[:, -1:]) - measured, real[:, -1:] - real[:, :1]
    moved = imagined[:, -1:] - real[:, :1]
    return {
        "clips": len(batch.rows),
        "episodes": judged.footage.episodes(batch.rows),
        "swapped_error_ratio": round((swapped.mean() / own.mean()).item(), 3),
        "swapped_error_ratio_by_frame": [round(value, 3) for value in (swapped / own).tolist()],
        **{f"gripper_{name}": values for name, values in _tracking(commanded, moved).items()},
        "readout": {
            **{f"{name}_real_frames": values for name, values in _tracking(commanded, happened).items()},
            "error_cm": [round(value, 2) for value in (100 * errors.square().mean(0).sqrt()).tolist()],
            "fitted_on": fitted_on,
        },
        "by_frame": [
            _tracking(tool_points(batch.actions[:, [frame]]) - measured, imagined[:, [frame]] - real[:, :1])
            for frame in range(imagined.shape[1])
        ],
        "points_cm": {
            "commanded": (100 * commanded[:SHOWN, 0]).round(decimals=2).tolist(),
            "imagined": (100 * moved[:SHOWN, 0]).round(decimals=2).tolist(),
        },
        "note": (
            f"displacement of the tool over {imagined.shape[1]} frames, by axis {', '.join(AXES)} of the base frame; "
            "swapped: squared latent error under another clip's moves over that under its own"
        ),
    }


def _read(bundle: Bundle, judged: Judged, fitting: Path | None, options: Options) -> tuple[Tensor, Tensor, Tensor, str]:
    """Positions in real frames (the newest first) and in imagined ones, errors in real ones, what it was fitted on."""
    batch, amounts = judged.batch, options.amounts
    seen = torch.cat([batch.history[:, -1:], batch.future], dim=1)
    truth = tool_points(torch.from_numpy(judged.footage.poses[batch.rows[:, None] + np.arange(seen.shape[1])]))

    def fitted(footage: Footage, rows: np.ndarray) -> ToolReadout:
        some = rows[np.linspace(0, len(rows) - 1, min(amounts.readout_frames, len(rows))).astype(int)]
        return fit_readout(bundle, footage, some, amounts.readout_steps, options.seed)

    if fitting is not None:
        footage = Footage(bundle, fitting, "train")
        readout = fitted(footage, np.flatnonzero(footage.episode_of >= 0))
        real, imagined = readout(seen), readout(judged.imagined.latents)
        return real, imagined, (real - truth).flatten(0, 1), f"train split, {len(footage.data.episodes)} episodes"

    if len(judged.footage.data.episodes) < 2:
        raise ModelsError(f"{judged.footage.data.root}: the tool readout needs a second episode to be fitted on")
    real, imagined = torch.zeros_like(truth), torch.zeros_like(truth[:, 1:])
    half = judged.footage.episode_of % 2
    for side in (0, 1):
        readout = fitted(judged.footage, np.flatnonzero((half == side) & (judged.footage.episode_of >= 0)))
        others = torch.from_numpy(half[batch.rows] != side)
        real[others], imagined[others] = readout(seen[others]), readout(judged.imagined.latents[others])
    count = len(judged.footage.data.episodes) // 2
    return real, imagined, (real - truth).flatten(0, 1), f"the other half of the held-out episodes, about {count}"


def _tracking(commanded: Tensor, moved: Tensor) -> dict[str, list[float | None]]:
    """Correlation and least squares slope of displacements ``(B, 1, 3)``, by axis."""
    x, y = (values[:, 0].double() - values[:, 0].double().mean(0) for values in (commanded, moved))
    both, alone, other = (x * y).sum(0), x.square().sum(0), y.square().sum(0)
    correlation, slope = both / (alone * other).sqrt(), both / alone
    return {
        name: [round(value, 4) if np.isfinite(value) else None for value in values.tolist()]
        for name, values in (("correlation", correlation), ("slope", slope))
    }
