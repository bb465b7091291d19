"""The figures of a trial, read from the recording of its run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robot_bridge.report.run import Run, load_run
from robot_bridge.trials.trial import Figures

VIDEO = "video.mp4"
FOR_WANT_OF_A_PLAN = ("awaiting_plan", "no_plan", "request_timeout", "server_lost", "server_error")
"""Reasons of a hold that say: the planner was not there in time. Others are the guard's, or wanted."""


def figures_of(run_folder: Path, named: str) -> Figures:
    """What the bridge recorded; empty figures where it recorded nothing.

    Args:
        run_folder: The run directory.
        named: The same folder as the store shall name it, see `Setup.run`.
    """
    if not (run_folder / "events.jsonl").exists():
        return Figures()
    run = load_run(run_folder)
    uncertainty = [float(plan["uncertainty"]) for plan in run.plans if plan.get("uncertainty") is not None]
    return Figures(
        seconds=round(run.seconds, 3),
        plans=len(run.plans),
        latencies_ms=tuple(float(plan["latency_ms"]) for plan in run.plans if plan.get("latency_ms") is not None),
        mean_uncertainty=round(float(np.mean(uncertainty)), 4) if uncertainty else None,
        bundle=(run.meta.get("spec") or {}).get("model_hash"),
        video=str(Path(named) / VIDEO),
        longest_stall_s=round(_longest_stall(run), 3),
        chunk_s=_chunk(run),
        uncertain_plans=run.uncertain_plans,
    )


def _longest_stall(run: Run) -> float:
    """Seconds on the robot's clock from a hold to the next plan, or to the end of the run."""
    longest, began = 0.0, None
    for event in run.events:
        name = event.get("event")
        if name == "hold" and began is None and event.get("reason") in FOR_WANT_OF_A_PLAN:
            began = event["t"]
        elif name in ("resume", "stop", "finished") and began is not None:
            longest, began = max(longest, event["t"] - began), None
    return longest


def _chunk(run: Run) -> float | None:
    spec = run.meta.get("spec") or {}
    return round(spec["horizon"] * spec["frame_period"], 3) if {"horizon", "frame_period"} <= spec.keys() else None
