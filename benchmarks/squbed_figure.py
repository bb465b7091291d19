"""The figure of `squbed_tasks.py`: both orderings and the rank correlation, task by task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from squbed_table import values

COLOURS = {"familiar": "#2b6cb0", "unseen": "#dd6b20"}
MARKERS = {"specific": "o", "ambiguous": "^"}


def draw(pairs: Sequence[dict[str, Any]], file: Path) -> None:
    """Write the figure of pairs that `squbed_table.summary` has seen."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
    for world, colour in COLOURS.items():
        x, y = (values(pairs, world, kind, "aleatoric") for kind in MARKERS)
        left.scatter(x, y, s=14, color=colour, label=f"{world} object", alpha=0.8)
    _diagonal(left, "the object by its name", "“the object”", "Aleatoric uncertainty of an instruction")
    left.legend(frameon=False, fontsize=8)
    x, y = (np.array([pair["one_proposal"][world] for pair in pairs]) for world in COLOURS)
    middle.scatter(x, y, s=14, color="#444444", alpha=0.8)
    _diagonal(middle, "familiar object", "unseen object in its place", "Epistemic uncertainty of one proposal")
    for world, colour in COLOURS.items():
        for kind, marker in MARKERS.items():
            x, y = (values(pairs, world, kind, name) for name in ("total", "semantic"))
            right.scatter(x, y, s=16, color=colour, marker=marker, alpha=0.7, label=f"{world}, {kind}")
    right.set(xlabel="total uncertainty [nats]", ylabel="semantic accuracy", title="Total uncertainty and accuracy")
    right.legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=90)
    plt.close(figure)


def _diagonal(axes: Axes, x: str, y: str, title: str) -> None:
    low, high = min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([low, high], [low, high], color="#bbbbbb", linewidth=1, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"{x} [nats]", ylabel=f"{y} [nats]", title=title)
    axes.set_aspect("equal")
