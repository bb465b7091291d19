"""The report's plots, as SVG text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from robot_bridge.report.plots import BLUE, GREY, ORANGE, _svg
from robot_bridge.trials.comparison import Series
from robot_bridge.trials.statistics import Rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = (GREY, BLUE, ORANGE, "#15803d", "#7c3aed", "#0e7490")


def rates(series: Series, kind: str) -> str:
    """Bars of a rate per task and method with its 95 % interval, as the paper's Figure 3; empty text without any.

    Args:
        series: The trials.
        kind: ``success`` or ``followed``.
    """
    known: list[tuple[int, int, Rate]] = [
        (row, column, found)
        for row, task in enumerate(series.tasks)
        for column, method in enumerate(series.methods)
        if (found := getattr(series.cell(task, method), kind)).of
    ]
    if not known:
        return ""
    width = 0.8 / len(series.methods)

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for column, method in enumerate(series.methods):
            mine = [(row, found) for row, where, found in known if where == column]
            places = [row + (column - (len(series.methods) - 1) / 2) * width for row, _ in mine]
            heights = np.array([100 * (found.value or 0.0) for _, found in mine])
            margins = 100 * np.array([found.wilson for _, found in mine], float).reshape(-1, 2).T
            # A rate of 0 or 1 touches its own bound; rounding must not put it beyond.
            arms = np.clip(np.stack([heights - margins[0], margins[1] - heights]), 0, None)
            colour = COLOURS[column % len(COLOURS)]
            axis.bar(places, heights, width * 0.92, color=colour, label=method)
            axis.errorbar(places, heights, arms, fmt="none", ecolor="#1b1f24", elinewidth=1, capsize=2.5)
        axis.set_xticks(range(len(series.tasks)), series.tasks)
        axis.set_ylim(0, 105)
        axis.set_ylabel("%")
        axis.grid(axis="x", visible=False)
        figure.legend(frameon=False, loc="outside upper center", ncols=min(4, len(series.methods)))

    return _svg(draw, 5.4, 3.2)


def latencies(series: Series) -> str:
    """Histogram of the round trips of all plans, a row per method; empty text without any."""
    by_method = {
        method: [ms for trial in series.trials if trial.setup.method == method for ms in trial.figures.latencies_ms]
        for method in series.methods
    }
    shown = {method: np.array(values) for method, values in by_method.items() if values}
    if not shown:
        return ""
    edges = np.histogram_bin_edges(np.concatenate([*shown.values()]), bins=30)

    def draw(figure: Figure) -> None:
        axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
        for axis, (method, values) in zip(axes, shown.items(), strict=True):
            colour = COLOURS[series.methods.index(method) % len(COLOURS)]
            axis.hist(values, bins=edges, color=colour)
            low, high = np.quantile(values, (0.5, 0.95))
            axis.set_title(
                f"{method}: {len(values)} plans, median {low:.0f} ms, 95 % {high:.0f} ms", fontsize=9, loc="left"
            )
            axis.set_ylabel("plans")
        axes[-1].set_xlabel("round trip [ms]")

    return _svg(draw, 5.4, 1.2 + 1.3 * len(shown))
