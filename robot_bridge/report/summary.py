"""`summary.json`: the figures of a run that another program may want."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robot_bridge.report.fidelity import fidelity
from robot_bridge.report.run import Run

AWAITING_PLAN = "awaiting_plan"
"""Reason of the short waits of a planner slower than its chunks; they are its rhythm, not holds."""


def summarise(run: Run, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Figures of a run.

    Returns:
        ``plans`` (that came back), ``plans_refused`` (of them, by the guard), ``plans_uncertain`` (of them, by their
        own word), ``seconds`` (of footage), ``median_plan_ms`` and ``p95_plan_ms`` (round trips), ``rejected`` (count
        by reason), ``holds`` (without the short waits for a plan that is on its way), ``mean_uncertainty``,
        ``imagined_psnr`` and ``repeat_last_psnr`` (dB, over all imagined frames that have a real one), ``notes``; then
        ``extra``.
    """
    latency = [float(plan["latency_ms"]) for plan in run.plans if plan.get("latency_ms") is not None]
    rejected = Counter(str(e.get("reason", "unknown")) for e in run.events if e.get("event") == "reject")
    scores = [fidelity(run, pictures) for plan in run.plans if (pictures := run.imagined(plan)) is not None]
    imagined, repeated = (
        np.concatenate([getattr(score, name) for score in scores]) if scores else np.array([])
        for name in ("imagined", "repeated")
    )
    seconds = run.seconds
    return {
        "instruction": run.meta.get("instruction", ""),
        "mode": run.meta.get("mode", ""),
        "plans": len(run.plans),
        "plans_refused": sum(1 for plan in run.plans if not plan.get("accepted", True)),
        "plans_uncertain": run.uncertain_plans,
        "seconds": round(seconds, 3),
        "median_plan_ms": _round(np.median(latency)) if latency else None,
        "p95_plan_ms": _round(np.percentile(latency, 95)) if latency else None,
        "rejected": dict(sorted(rejected.items())),
        "holds": sum(1 for e in run.events if e.get("event") == "hold" and e.get("reason") != AWAITING_PLAN),
        "mean_uncertainty": _mean(
            [plan["uncertainty"] for plan in run.plans if plan.get("uncertainty") is not None], 4
        ),
        "imagined_psnr": _mean(imagined, 2),
        "repeat_last_psnr": _mean(repeated, 2),
        "notes": run.notes,
        **(extra or {}),
    }


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write the summary whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(summary, indent=2) + "\n")
    os.replace(partial, path)


def _mean(values: Any, digits: int) -> float | None:
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    return round(float(finite.mean()), digits) if finite.size else None


def _round(value: Any) -> float:
    return round(float(value), 1)
