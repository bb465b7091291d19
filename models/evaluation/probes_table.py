"""What `probes.measure_probes` found, for people: one table, reliability diagrams, targets."""

from __future__ import annotations

from typing import Any

from models.evaluation import plots
from models.evaluation.tables import Part, Table, show
from models.evaluation.targets import Verdict

INSIDE, OUTSIDE, AGREEMENT = 0.05, 0.15, 0.005
"""Highest calibration error in and out of distribution at every eps, and between BCE and Brier."""


def probes(part: Part) -> Table:
    """Calibration by judge and recording, correlation of h with the error of moving cells, AUROC and cost."""
    scales = [f"{eps:g}" for eps in part["scales"]]
    head = ["", "recording", "ECE", "MCE", "ECE, moving", *(f"ECE at {eps}" for eps in scales)]
    rows = [[*head, "Spearman", "AUROC", "ms"]]
    for name, entry in part["judges"].items():
        for recording, found in (("in distribution", entry), *entry["unfamiliar"].items()):
            inside = found is entry
            cells = [found["ece"], found["mce"], found["ece_moving"]]
            cells += [found["by_eps"].get(eps, {}).get("ece") for eps in scales]
            cells += [entry["relation"]["spearman"] if inside else None, None if inside else found["auroc"]]
            cells += [entry["milliseconds"] if inside else None]
            rows.append([name, recording, *map(show, cells)])
    text = (
        f"{part['note']} Spearman: h with the error, moving cells. AUROC: mean h tells unfamiliar clips from familiar "
        "ones. ms: judging 8 candidates, median. h is the probability of an error beyond the probe's own eps, for the "
        "head the normalised entropy."
    )
    return Table("C3's probes beside the 30-bin head", text, rows)


def reliability(part: Part, judge: str) -> str:
    """Reliability diagram of one judge, as SVG."""
    return plots.reliability(part["judges"][judge])


def reliability_by_eps(part: Part, judge: str) -> dict[str, Any]:
    """Rows of confidence, frequency and count of one judge, by eps, in distribution."""
    return {eps: found["curve"] for eps, found in part["judges"][judge]["by_eps"].items()}


def verdicts(part: Part) -> list[Verdict]:
    """The targets of C3's probes: calibrated at every eps in and out of distribution, BCE and Brier alike."""
    found = []
    judges = {name: entry for name, entry in part["judges"].items() if name.startswith("probe-")}
    for name, entry in judges.items():
        worst = max(one["ece"] for one in entry["by_eps"].values())
        found.append(_at_most(f"{name}: ECE in distribution, worst eps", worst, INSIDE))
        others = [one["ece"] for other in entry["unfamiliar"].values() for one in other["by_eps"].values()]
        if others:
            found.append(_at_most(f"{name}: ECE out of distribution, worst eps and recording", max(others), OUTSIDE))
    for name, entry in judges.items():
        if "-bce" in name and (other := judges.get(name.replace("-bce", "-brier"))):
            gap = abs(entry["ece"] - other["ece"])
            found.append(_at_most(f"{name.replace('-bce', '')}: ECE, BCE against Brier", gap, AGREEMENT))
    return found


def _at_most(what: str, value: float, bound: float) -> Verdict:
    return Verdict(what, f"at most {bound:g}", f"{value:.4f}", value <= bound)
