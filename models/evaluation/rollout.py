"""Video far ahead: the last imagined frames and the commanded poses become the history of the next ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.evaluation.footage import CHUNK, Footage
from models.evaluation.media import Media, comparison
from models.evaluation.names import in_steps
from models.evaluation.options import Options
from models.evaluation.pixels import Truth, decode
from models.evaluation.say import Say
from models.evaluation.walks import Walk, flow_map, teacher
from models.heatmap import Heatmap
from models.interfaces import Imagined

FEWEST = 4
"""Clips that a horizon needs to be measured at all."""


def roll_out(
    bundle: Bundle, footage: Footage, rows: np.ndarray, frames: int, walk: Walk, seed: int
) -> tuple[Tensor, Tensor]:
    """Imagine ``frames`` frames after each row, H at a time, under the recorded commands.

    Returns:
        Latents ``(B, frames, C, V*h, w)`` and uncertainty ``(B, frames, V, h, w)`` of every imagined frame.
    """
    parts = [
        _roll_out(bundle, footage, some, frames, walk, seed) for some in np.array_split(rows, -(-len(rows) // CHUNK))
    ]
    latents, h = zip(*parts, strict=True)
    return torch.cat(latents)[:, :frames], torch.cat(h)[:, :frames]


@torch.no_grad()
def _roll_out(
    bundle: Bundle, footage: Footage, rows: np.ndarray, frames: int, walk: Walk, seed: int
) -> tuple[Tensor, Tensor]:
    model, horizon = bundle.world_model, footage.horizon
    offsets = np.array(bundle.config.history_offsets)
    observed = rows[:, None] + np.arange(offsets.min(), 1)
    latents, poses = footage.latents(observed), torch.from_numpy(footage.poses[observed])
    doubts = []
    for start in range(0, frames, horizon):
        ahead = np.minimum(start + np.arange(1, horizon + 1), frames)
        actions = torch.from_numpy(footage.commands[rows[:, None] + ahead])
        history, history_poses = latents[:, offsets - 1], poses[:, offsets - 1]
        noise = model.initial_noise(history, torch.Generator().manual_seed(seed + start))
        found = walk(model, history, history_poses, actions, noise)
        doubts.append(bundle.uncertainty(Imagined(found, history, history_poses, actions)).h)
        latents, poses = torch.cat([latents, found], dim=1), torch.cat([poses, actions], dim=1)
    return latents[:, observed.shape[1] :], torch.cat(doubts, dim=1)


def measure_rollouts(bundle: Bundle, footage: Footage, options: Options, say: Say) -> tuple[dict[str, Any], Media]:
    """Figures at each of the horizons, all on the same clips; a horizon too long for the footage says so."""
    horizons = sorted(options.horizons)
    reachable = [frames for frames in horizons if len(footage.rows(frames)) >= FEWEST]
    unreachable = {str(frames): None for frames in horizons if frames not in reachable}
    if not reachable:
        return {**unreachable, "note": f"no held-out episode is longer than {horizons[0]} frames"}, Media()
    longest = reachable[-1]
    rows = footage.spread(options.amounts.rollouts, longest)
    few = rows[np.linspace(0, len(rows) - 1, min(options.amounts.teacher_rollouts, len(rows))).astype(int)]
    every = _Compared(bundle, footage, rows, longest, options.seed)
    flow_maps = [flow_map(steps) for steps in dict.fromkeys((options.planner_steps, 4))]
    for walk in flow_maps:
        say(f"quality: {longest} frames ahead, {in_steps(walk.name)}", 0.0)
        every.add(walk)
    some = _Compared(bundle, footage, few, longest, options.seed)
    for walk in (flow_maps[0], teacher(options)):
        say(f"quality: {longest} frames ahead, {in_steps(walk.name)}, {len(few)} clips", 0.0)
        some.add(walk)
    results: dict[str, Any] = {
        str(frames): {
            "clips": len(rows),
            "episodes": footage.episodes(rows),
            **every.at(frames),
            "with_teacher": {"clips": len(few), **some.at(frames)},
        }
        for frames in reachable
    }
    note = f"figures of that frame alone; the same clips at every horizon; imagined {footage.horizon} at a time"
    note += "; h restarts with every round, the head taking the history for real"
    if unreachable:
        note += f"; no {FEWEST} held-out clips are long enough for {', '.join(unreachable)} frames"
    curve = {"clips": len(rows), **every.curves, "h": every.doubt(flow_maps[0])}
    return {**results, **unreachable, "curve": curve, "note": note}, every.media(flow_maps[0])


class _Compared:
    """Rollouts of the same clips."""

    def __init__(self, bundle: Bundle, footage: Footage, rows: np.ndarray, frames: int, seed: int) -> None:
        self._bundle, self._footage, self._rows, self._frames, self._seed = bundle, footage, rows, frames, seed
        self._truth = Truth(footage, rows, frames)
        self._figures = {"repeat_last": self._truth.figures(self._truth.repeated)}
        self._found: dict[str, tuple[Tensor, Tensor]] = {}

    def add(self, walk: Walk) -> None:
        latents, h = roll_out(self._bundle, self._footage, self._rows, self._frames, walk, self._seed)
        frames = decode(self._bundle.world_model, latents)
        self._figures[walk.name] = self._truth.figures(frames)
        self._found[walk.name] = frames, h

    def at(self, frame: int) -> dict[str, Any]:
        """Figures of the frame that many ahead, by way of imagining it."""
        return {name: figures["by_frame"][frame - 1] for name, figures in self._figures.items()}

    @property
    def curves(self) -> dict[str, list[float | None]]:
        """PSNR on changed pixels of every frame, by way of imagining it."""
        return {
            name: [entry["psnr_changed"] for entry in figures["by_frame"]] for name, figures in self._figures.items()
        }

    def doubt(self, walk: Walk) -> list[float]:
        """Mean uncertainty of every frame."""
        return [round(value, 4) for value in self._found[walk.name][1].mean(dim=(0, 2, 3, 4)).tolist()]

    def media(self, walk: Walk) -> Media:
        """One rollout beside the truth: that in which most pixels change."""
        frames, h = self._found[walk.name]
        clip = int(self._truth.changed.float().mean(dim=(1, 2, 3, 4)).argmax())
        config = self._bundle.config
        heatmap = Heatmap(self._bundle.world_model, len(config.views), config.image_size)
        rows = {
            "real": self._truth.real[clip],
            "rolled out": frames[clip],
            "doubt\nover it": heatmap.over(frames[[clip]], h[[clip]])[0],
        }
        video = comparison({name: video.numpy() for name, video in rows.items()})
        return Media(videos={f"{self._frames} frames, rolled out": video})
