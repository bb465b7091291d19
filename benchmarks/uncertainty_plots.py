"""Pictures of `uncertainty_comparison.py`: reliability of every judge, and what each paints over the same frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

COLOURS = {"in distribution": "#2563eb", "light": "#d97706", "camera": "#15803d", "stranger": "#b91c1c"}
TITLE_HEIGHT = 16


def draw_reliability(part: Mapping[str, Any], file: Path, columns: int = 4) -> None:
    """One small diagram per judge: confidence against frequency of moving elements, by recording."""
    judges = part["judges"]
    rows = -(-len(judges) // columns)
    figure = Figure(figsize=(2.3 * columns, 2.45 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, (name, entry) in zip(axes, judges.items(), strict=False):
        axis.plot([0, 1], [0, 1], color="#9ca3af", linewidth=1)
        for recording, found in {"in distribution": entry, **entry["unfamiliar"]}.items():
            if not found["curve_moving"]:
                continue
            confidence, frequency, _ = np.array(found["curve_moving"]).T
            colour = COLOURS.get(recording, "#7c3aed")
            axis.plot(confidence, frequency, color=colour, marker="o", markersize=2.5, linewidth=1.2, label=recording)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axis.set_title(name.removeprefix("probe-"), fontsize=9)
        axis.tick_params(labelsize=7)
    for axis in axes[len(judges) :]:
        axis.set_axis_off()
    figure.supxlabel("said: probability that the error is at most eps (all eps pooled, moving elements)", fontsize=9)
    figure.supylabel("how often it was", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    figure.savefig(file, dpi=90, metadata={"Software": None})


def draw_heat_maps(recordings: Sequence[Mapping[str, np.ndarray]], file: Path) -> None:
    """A row per judge, a column per recording: the last imagined frame, all views, with the judge's uncertainty.

    Args:
        recordings: What `judge_pictures` gave for one clip of each.
        file: PNG to write.
    """
    rows = []
    for name in recordings[0]:
        sheet = np.concatenate([pictures[name] for pictures in recordings], axis=1)
        title = np.full((TITLE_HEIGHT, sheet.shape[1], 3), 255, np.uint8)
        cv2.putText(
            title, name.removeprefix("probe-"), (3, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA
        )
        rows += [title, sheet]
    cv2.imwrite(str(file), np.ascontiguousarray(np.concatenate(rows)[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 9])
