"""The part of the page with a slider: every moment of a run, what was seen, imagined, done and commanded."""

from __future__ import annotations

import json
from importlib import resources
from string import Template
from typing import Any

import numpy as np

from robot_bridge.report.drawing import data_uri, fit
from robot_bridge.report.run import FRAME_MATCH, Run, Series
from robot_bridge.report.video import winner

MOMENTS = 300
"""Most positions of the slider: a longer run is shown in larger steps, so that the page can still be sent around."""
SAMPLES = 900
"""Most points of a curve."""
GAP = 0.3
"""Seconds without a point that interrupt a curve."""
TILE = (176, 106)
QUALITY = 74
CURVES = ("x [m]", "y [m]", "z [m]", "gripper")
_COLUMNS = (0, 1, 2, 6)


def scrubber(run: Run) -> str:
    """HTML of the slider with its pictures and curves; empty for a run without frames."""
    times = run.frame_times
    if not times.size:
        return ""
    times = times[:: -(-len(times) // MOMENTS)]
    plans = [plan for plan in run.plans if plan.get("times")]
    chosen = _plan_by_moment(plans, times)
    data = {
        "views": run.views,
        "moments": [_moment(run, plans, index, float(t)) for index, t in zip(chosen, times, strict=True)],
        "plans": [_plan(run, plan) for plan in plans],
        "names": CURVES,
        "curves": {
            "done": _curve(run, run.measured),
            "would be commanded" if run.meta.get("mode") == "dry_run" else "commanded": _curve(run, run.commanded),
            "operator commanded": _curve(run, run.recorded),
        },
        "seconds": float(times[-1] - run.start),
    }
    template = Template(resources.files("robot_bridge.report").joinpath("scrub.html").read_text())
    # In a script element only "</" could end it early.
    return template.substitute(data=json.dumps(data, allow_nan=False).replace("</", "<\\/"), last=len(times) - 1)


def _plan_by_moment(plans: list[dict[str, Any]], times: np.ndarray) -> list[int | None]:
    """For each moment the newest plan that imagines it."""
    spans = [(float(p["times"][0]) - FRAME_MATCH, float(p["times"][-1]) + FRAME_MATCH) for p in plans]
    covering = [[i for i, (begin, end) in enumerate(spans) if begin <= t <= end] for t in times]
    return [max(found, key=lambda i: spans[i][0]) if found else None for found in covering]


def _moment(run: Run, plans: list[dict[str, Any]], index: int | None, time: float) -> dict[str, Any]:
    real = run.real(time)
    moment: dict[str, Any] = {"t": round(time - run.start, 3), "plan": index, "seen": _row(real)}
    pictures = None if index is None else run.imagined(plans[index])
    if pictures is not None and len(pictures.times):
        step = int(np.abs(pictures.times - time).argmin())
        moment |= {"imagined": _row(pictures.frames[step]), "unsure": _row(pictures.composites[step])}
    return moment


def _row(views: np.ndarray | None) -> str | None:
    """All views beside each other as one picture."""
    return None if views is None else data_uri(np.concatenate([fit(view, *TILE) for view in views], axis=1), QUALITY)


def _plan(run: Run, plan: dict[str, Any]) -> dict[str, Any]:
    chosen = winner(plan)
    facts = [f"plan {plan['plan']}: {chosen.get('name', '?')}" + (" + refined" if plan.get("refined") else "")]
    facts += [f"reward {chosen['reward']:+.3f}"] if "reward" in chosen else []
    facts += [f"uncertainty {plan['uncertainty']:.2f}"] if plan.get("uncertainty") is not None else []
    facts += [f"{plan['latency_ms']:.0f} ms"] if plan.get("latency_ms") is not None else []
    facts += [] if plan.get("accepted", True) else ["REFUSED by the guard"]
    poses = np.array(plan.get("poses") or [], float).reshape(-1, 7)
    times = np.array(plan["times"][: len(poses)], float) - run.start
    return {"text": "  ·  ".join(facts), "t": times.round(3).tolist(), "v": _values(poses)}


def _curve(run: Run, series: Series) -> dict[str, Any] | None:
    """Points of a curve; broken where a new chunk of a dry run begins before the end of the last, and at gaps."""
    every = slice(None, None, max(-(-len(series.t) // SAMPLES), 1))
    t, poses = series.t[every] - run.start, series.pose[every].copy()
    if not t.size:
        return None
    steps = np.diff(t)
    broken = 1 + np.flatnonzero(
        (steps <= 0) | (steps > max(GAP, 3 * (np.median(np.abs(steps)) if steps.size else 0.0)))
    )
    poses[broken] = np.nan
    return {"t": t.round(3).tolist(), "v": _values(poses)}


def _values(poses: np.ndarray) -> list[list[float | None]]:
    """Columns of ``(N, 7)`` poses that are drawn; JSON has no NaN."""
    columns = (poses[:, column] for column in _COLUMNS)
    return [[round(float(v), 4) if np.isfinite(v) else None for v in column] for column in columns]
