"""What the pairs of `squbed_tasks.py` say: orderings, rank correlations, and both in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import kendalltau, wilcoxon

from models.uncertainty.squbed.accuracy import rank_correlation
from models.uncertainty.squbed.decomposition import Projection
from models.uncertainty.squbed.estimate import Dimensions
from models.uncertainty.squbed.offline import HashedTexts
from models.uncertainty.squbed.vmf import fit_vmf

RESAMPLED, LEVEL = 1000, 99.0
"""Draws of whole pairs, and the confidence in percent, of an interval of Kendall's tau."""
Pair = dict[str, Any]


def summary(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Everything, ready for JSON. Adds to every task what can be told of all prompts together only."""
    texts = HashedTexts()
    tasks = [task for pair in pairs for task in pair["tasks"]]
    embedded = [texts.embed(task["refined"]) for task in tasks]
    projection = Projection.fit(np.concatenate(embedded), Dimensions().texts)
    for task, vectors in zip(tasks, embedded, strict=True):
        task["prompts_aleatoric"] = fit_vmf(projection(vectors)).entropy
        for reading in ("", "prompts_"):
            task[f"{reading}total"] = task[f"{reading}aleatoric"] + task[f"{reading}epistemic"]
    return {"pairs": len(pairs), "tasks": len(tasks), "orderings": orderings(pairs), "kendall": correlations(pairs)}


def orderings(pairs: Sequence[Pair]) -> dict[str, dict[str, Any]]:
    """By what is compared: how often the one that should be higher is, by how much, and p."""
    found = {}
    for reading, prefix in (("planner", ""), ("prompts", "prompts_")):
        for world in ("familiar", "unseen"):
            found[f"aleatoric, ambiguous over specific: {reading}, {world} scene"] = ordering(
                values(pairs, world, "ambiguous", f"{prefix}aleatoric"),
                values(pairs, world, "specific", f"{prefix}aleatoric"),
            )
    unseen, familiar = (np.array([pair["one_proposal"][world] for pair in pairs]) for world in ("unseen", "familiar"))
    found["epistemic, unseen over familiar: one proposal"] = ordering(unseen, familiar)
    for stranger in sorted({pair["stranger"] for pair in pairs}):
        own = np.array([pair["stranger"] == stranger for pair in pairs])
        found[f"epistemic, unseen over familiar: one proposal, {stranger}"] = ordering(unseen[own], familiar[own])
    for reading, prefix in (("planner", ""), ("prompts", "prompts_")):
        found[f"epistemic, unseen over familiar: {reading}, asked by name"] = ordering(
            values(pairs, "unseen", "specific", f"{prefix}epistemic"),
            values(pairs, "familiar", "specific", f"{prefix}epistemic"),
        )
    return found


def ordering(higher: np.ndarray, lower: np.ndarray) -> dict[str, Any]:
    """Paired comparison, one-sided."""
    return {
        "pairs": len(higher),
        "share": round(float((higher > lower).mean()), 3),
        "median_difference": round(float(np.median(higher - lower)), 4),
        "p": float(f"{wilcoxon(higher, lower, alternative='greater').pvalue:.2g}"),
    }


def values(pairs: Sequence[Pair], world: str, kind: str, name: str) -> np.ndarray:
    """One number of one task of every pair: an uncertainty, or a metric of its accuracy."""
    chosen = [next(task for task in pair["tasks"] if (task["world"], task["kind"]) == (world, kind)) for pair in pairs]
    return np.array([task[name] if name in task else task["accuracy"][name] for task in chosen])


def correlations(pairs: Sequence[Pair]) -> dict[str, dict[str, Any]]:
    """Kendall's tau by what is correlated and metric; the first also with an interval from drawing whole pairs anew."""
    kinds: dict[str, Callable[[dict[str, Any]], bool]] = {
        "": lambda task: True,
        ", specific only": lambda task: task["kind"] == "specific",
        ", ambiguous only": lambda task: task["kind"] == "ambiguous",
        ", familiar scenes only": lambda task: task["world"] == "familiar",
    }
    wanted = [
        *((f"planner: total with accuracy{name}", "total", "accuracy", keep) for name, keep in kinds.items()),
        ("planner: aleatoric with accuracy", "aleatoric", "accuracy", kinds[""]),
        ("planner: epistemic with accuracy", "epistemic", "accuracy", kinds[""]),
        ("planner: epistemic with accuracy of the same motion", "epistemic", "same_motion", kinds[""]),
        ("planner: total with accuracy of the same motion", "total", "same_motion", kinds[""]),
        ("prompts: total with accuracy", "prompts_total", "accuracy", kinds[""]),
    ]
    found: dict[str, dict[str, Any]] = {}
    for name, uncertainty, accuracy, keep in wanted:
        kept = [[task for task in pair["tasks"] if keep(task)] for pair in pairs]
        found[name] = {}
        for metric in pairs[0]["tasks"][0][accuracy]:
            x = np.array([[task[uncertainty] for task in tasks] for tasks in kept])
            y = np.array([[task[accuracy][metric] for task in tasks] for tasks in kept])
            found[name][metric] = rank_correlation(x.ravel().tolist(), y.ravel().tolist())
            if name == wanted[0][0]:
                found[name][metric]["interval"] = interval(x, y)
    return found


def interval(x: np.ndarray, y: np.ndarray) -> list[float]:
    """Kendall's tau of ``(pairs, tasks)`` numbers at the `LEVEL`: the tasks of a pair are not independent."""
    draws = np.random.default_rng(0).integers(len(x), size=(RESAMPLED, len(x)))
    taus = [kendalltau(x[draw].ravel(), y[draw].ravel()).statistic for draw in draws]
    return [round(float(value), 3) for value in np.percentile(taus, [50 - LEVEL / 2, 50 + LEVEL / 2])]


def as_text(found: dict[str, Any]) -> str:
    """Two tables."""
    lines = [f"{found['pairs']} pairs of scenes, {found['tasks']} tasks"]
    lines.append(f"{'':64}{'pairs':>6}{'higher':>8}{'median':>9}{'p':>10}")
    for name, row in found["orderings"].items():
        lines.append(f"{name:64}{row['pairs']:6d}{row['share']:8.0%}{row['median_difference']:9.3f}{row['p']:10.2g}")
    for name, metrics in found["kendall"].items():
        lines.append(name)
        for metric, row in metrics.items():
            text = f"  {metric:10} tau {row['tau']:+.3f}, p = {row['p']:.2g}, n = {row['n']}"
            if "interval" in row:
                low, high = row["interval"]
                text += f", {LEVEL:g} % of redrawn pairs in [{low:+.2f}, {high:+.2f}]"
            lines.append(text)
    return "\n".join(lines)
