"""What a run of S-QUBED answers: ``squbed.json`` for programs, a table for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.uncertainty.squbed.accuracy import FEWEST, correlations
from models.uncertainty.squbed.estimate import Dimensions, Estimate
from models.uncertainty.squbed.samples import Amounts

LONGEST = 60
_TOO_FEW = f"not measured, needs {FEWEST} prompts that differ in both"


def report(
    estimates: Sequence[Estimate], parts: Sequence[str], amounts: Amounts, dimensions: Dimensions | None
) -> dict[str, Any]:
    """Everything, ready for JSON.

    Args:
        estimates: The answers.
        parts: Names of refiner, embedder of Z, video model and embedder of V.
        amounts: What was sampled.
        dimensions: Of the projections, None where the embeddings are fixed.
    """
    names = dict(zip(("refiner", "embedder of Z", "video model", "embedder of V"), parts, strict=True))
    return {
        "parts": names,
        "amounts": asdict(amounts),
        "dimensions": asdict(dimensions) if dimensions else None,
        "prompts": [_row(estimate) for estimate in estimates],
        "kendall": correlations(estimates),
        "note": (
            "Differential entropies in nats of von Mises-Fisher fits; they may be negative, and only differences "
            "between prompts of one run mean something. tau: Kendall's, of uncertainty with accuracy over the prompts "
            "with a reference, two-sided p."
        ),
    }


def write(results: dict[str, Any], out: Path) -> Path:
    """Write ``squbed.json`` and return its path."""
    file = out / "squbed.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    return file


def as_text(results: dict[str, Any]) -> str:
    """The table, and the correlations where there are any."""
    lines = [f"{'aleatoric':>10} {'epistemic':>10} {'total':>10}  prompt"]
    for row in results["prompts"]:
        prompt = row["prompt"] if len(row["prompt"]) <= LONGEST else row["prompt"][: LONGEST - 3] + "..."
        lines.append(f"{row['aleatoric']:>10.3f} {row['epistemic']:>10.3f} {row['total']:>10.3f}  {prompt}")
    for kind, metrics in results["kendall"].items():
        for metric, found in metrics.items():
            said = f"tau {found['tau']:+.3f}, p = {found['p']:g}" if found["p"] is not None else _TOO_FEW
            lines.append(f"{kind} with {metric}: {said} (n = {found['n']})")
    return "\n".join(lines)


def _row(estimate: Estimate) -> dict[str, Any]:
    found, task = estimate.uncertainty, estimate.task
    return {
        "prompt": task.prompt,
        "episode": task.episode,
        "aleatoric": round(found.aleatoric, 6),
        "epistemic": round(found.epistemic, 6),
        "total": round(found.total, 6),
        "text_concentration": round(found.text_concentration, 4),
        "video_concentrations": [round(value, 4) for value in found.video_concentrations],
        "refined": list(estimate.refined),
        "accuracy": {name: round(value, 6) for name, value in estimate.accuracy.items()},
    }
