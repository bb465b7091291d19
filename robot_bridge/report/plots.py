"""The page's plots, as SVG text that takes its fonts from the page."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from robot_bridge.report.fidelity import Fidelity
from robot_bridge.report.run import Run, Series
from robot_bridge.report.summary import AWAITING_PLAN
from robot_bridge.report.video import winner

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY, RED = "#2563eb", "#d97706", "#9ca3af", "#b91c1c"
STAGES = ("queue", "decode", "encode_frames", "propose", "imagine", "score", "refine", "render")


def reward_and_uncertainty(run: Run) -> str:
    """Reward of the chosen candidate and uncertainty of the chunk over the run; refused plans marked."""
    shown = [plan for plan in run.plans if plan.get("uncertainty") is not None and "reward" in winner(plan)]
    if not shown:
        return ""
    t = np.array([_begin(plan) for plan in shown]) - run.start
    refused = np.array([not plan.get("accepted", True) for plan in shown])

    def draw(figure: Figure) -> None:
        top, bottom = figure.subplots(2, 1, sharex=True)
        for axis, values, colour, label in (
            (top, [winner(plan)["reward"] for plan in shown], BLUE, "reward"),
            (bottom, [plan["uncertainty"] for plan in shown], ORANGE, "uncertainty"),
        ):
            curve = np.array(values, float)
            axis.plot(t, curve, color=colour, marker="o", markersize=3.5, linewidth=1.4)
            if refused.any():
                axis.plot(t[refused], curve[refused], "x", color=RED, markersize=7, label="refused by the guard")
            axis.set_ylabel(label)
            _shade_holds(run, axis)
        bottom.set_ylim(0, max(1.0, max(plan["uncertainty"] for plan in shown)))
        bottom.set_xlabel("time in the run [s]")
        if refused.any():
            top.legend(frameon=False, loc="best")

    return _svg(draw, 5.4, 4.2)


def latency(run: Run) -> str:
    """Round trips as a histogram, and where the time went by stage."""
    values = np.array([plan["latency_ms"] for plan in run.plans if plan.get("latency_ms") is not None], float)
    timings = [plan["timings"] for plan in run.plans if plan.get("timings")]
    if not values.size:
        return ""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        left.hist(values, bins=min(30, max(5, values.size // 2)), color=BLUE, alpha=0.85)
        left.axvline(float(np.median(values)), color=ORANGE, linewidth=1.5)
        left.annotate(
            f"median {np.median(values):.0f} ms", (float(np.median(values)), 1), xycoords=("data", "axes fraction"),
            xytext=(4, -2), textcoords="offset points", color=ORANGE, va="top",
        )  # fmt: skip
        left.set_xlabel("round trip [ms]")
        left.set_ylabel("plans")
        left.yaxis.get_major_locator().set_params(integer=True)
        stages = [stage for stage in STAGES if any(stage in timing for timing in timings)]
        medians = [float(np.median([timing.get(stage, 0.0) for timing in timings])) for stage in stages]
        right.barh(stages[::-1], medians[::-1], color=BLUE, alpha=0.85)
        for place, median in enumerate(medians[::-1]):
            right.text(median, place, f" {median:.0f}" if median >= 1 else f" {median:.1f}", va="center", fontsize=8)
        right.margins(x=0.15)
        right.set_xlabel("median per stage [ms]")

    return _svg(draw, 5.4, 2.8)


def motion(run: Run) -> str:
    """Flange position and gripper over time: commanded, measured, and what an operator had commanded."""
    dry = run.meta.get("mode") == "dry_run"
    lines = [
        (run.recorded, GREY, "operator's command" if run.recorded.t.size else "", 1.0),
        (run.measured, ORANGE, "recorded motion" if dry else "measured", 1.6),
        (run.commanded, BLUE, "commanded by VidPlan", 1.2),
    ]
    lines = [line for line in lines if line[0].t.size]
    starts = np.array([plan["observation_stamp"] for plan in run.plans if dry and "observation_stamp" in plan]).round(3)
    if not lines:
        return ""

    def draw(figure: Figure) -> None:
        axes = figure.subplots(4, 1, sharex=True)
        for axis, column, name in zip(axes, (0, 1, 2, 6), ("x [m]", "y [m]", "z [m]", "gripper"), strict=True):
            for series, colour, label, width in lines:
                if np.isfinite(series.pose[:, column]).any():
                    _broken_line(axis, series, column, color=colour, linewidth=width, label=label)
            axis.set_ylabel(name)
            _shade_holds(run, axis)
        axes[3].set_ylim(-0.05, 1.05)
        axes[3].set_xlabel("time in the run [s]")
        axes[0].legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))

    def _broken_line(axis: Axes, series: Series, column: int, **style: Any) -> None:
        # A dry run's commands start afresh from the measured arm with every plan: lift the pen there, and at pauses.
        steps, afresh = np.diff(series.t), np.isin(series.t[1:].round(3), starts)
        gaps = np.flatnonzero((steps > 1.0) | (steps < 0.0) | afresh) + 1
        t, y = np.insert(series.t - run.start, gaps, np.nan), np.insert(series.pose[:, column], gaps, np.nan)
        axis.plot(t, y, **style)

    return _svg(draw, 5.4, 4.2)


def imagination_quality(scores: list[Fidelity]) -> str:
    """PSNR by imagined step against the real frames, beside repeating the last frame."""
    if not scores or not any(np.isfinite(score.imagined).any() for score in scores):
        return ""
    steps = 1 + np.arange(max(len(score.imagined) for score in scores))

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        for name, colour, label in (("imagined", BLUE, "imagined"), ("repeated", GREY, "repeat the last frame")):
            table = np.full((len(scores), steps.size), np.nan)
            for row, score in enumerate(scores):
                values = getattr(score, name)
                table[row, : len(values)] = values
            seen = np.isfinite(table).any(axis=0)
            middle, low, high = (np.nanpercentile(table[:, seen], q, axis=0) for q in (50, 25, 75))
            axis.plot(steps[seen], middle, color=colour, marker="o", markersize=4, label=label)
            axis.fill_between(steps[seen], low, high, color=colour, alpha=0.15, linewidth=0)
        axis.set_xticks(steps)
        axis.set_xlabel("imagined frame")
        axis.set_ylabel("PSNR against the real frame [dB]")
        axis.legend(frameon=False)

    return _svg(draw, 5.4, 2.8)


def _shade_holds(run: Run, axis: Axes) -> None:
    """Grey where the arm held because plans stopped coming."""
    begin = None
    for event in run.events:
        if event.get("event") == "hold" and event.get("reason") != AWAITING_PLAN and begin is None:
            begin = event["t"]
        elif event.get("event") in ("resume", "finished") and begin is not None:
            axis.axvspan(begin - run.start, event["t"] - run.start, color="#e5e7eb", linewidth=0, zorder=0)
            begin = None


def _begin(plan: dict[str, Any]) -> float:
    times = plan.get("times") or []
    return float(times[0] if times else plan.get("t") or np.nan)


def _svg(draw: Callable[[Figure], None], width: float, height: float) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "vidplan",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "#6b7280",
        "axes.labelcolor": "#374151",
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#eef0f3",
        "xtick.color": "#6b7280",
        "ytick.color": "#6b7280",
        "legend.fontsize": 8.5,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        if len(figure.axes) > 1:
            figure.align_ylabels()
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
