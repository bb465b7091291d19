"""The figures of a trial, read from the recording of its run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robot_bridge.report.run import load_run
from robot_bridge.trials.trial import Figures

VIDEO = "video.mp4"


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
    )
