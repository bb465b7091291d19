"""What `probes.measure_probes` found, for people: one table, reliability diagrams, targets."""

from __future__ import annotations

from typing import Any

from models.evaluation import plots
from models.evaluation.tables import Part, Table, show
from models.evaluation.targets import Verdict, in_words

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
            errors = [found["ece"], found["mce"], found["ece_moving"]]
            errors += [found["by_eps"].get(eps, {}).get("ece") for eps in scales]
            cells = [entry["relation"]["spearman"] if inside else None, None if inside else found["auroc"]]
            milliseconds = show(entry["milliseconds"] if inside else None, 0)
            rows.append([name, recording, *(show(error, 3) for error in errors), *map(show, cells), milliseconds])
    text = (
        f"{part['note']} Spearman: h with the error, moving cells. AUROC: mean h tells unfamiliar clips from familiar "
        "ones. ms: judging 8 candidates, median. h is the probability of an error beyond the probe's own eps, for the "
        "head the normalised entropy."
    )
    return Table("C3's probes beside the 30-bin head", text, rows)


def comparison(part: Part) -> Table:
    """A row per judge: the worst calibration, correlation, detection, and the cost of a plan."""
    kinds = list(next(iter(part["judges"].values()))["unfamiliar"])
    head = ["", "ECE", "worst eps", "moving", "unfamiliar, worst", "h ~ error", "expected ~ error"]
    rows = [[*head, *(f"AUROC {kind}" for kind in kinds), "usual mean h", "plan"]]
    for name, entry in part["judges"].items():
        others = entry["unfamiliar"].values()
        outside = [one["ece"] for other in others for one in other["by_eps"].values() if one["ece"] is not None]
        inside = [one["ece"] for one in entry["by_eps"].values()]
        errors = [entry["ece"], max(inside), entry["ece_moving"], max(outside, default=None)]
        cells = [entry["relation"]["spearman"], entry["spearman_expected_error"]]
        cells += [entry["unfamiliar"][kind]["auroc"] for kind in kinds]
        cells += [entry["highest_mean_h"], part["plan"]["ratio"].get(name)]
        rows.append([name, *(show(error, 3) for error in errors), *map(show, cells)])
    text = (
        "ECE: all eps and elements pooled, the worst single eps, pooled over moving elements, and the worst eps of the "
        "worst unfamiliar recording. h ~ error, expected ~ error: Spearman's coefficient of moving cells. AUROC: mean "
        "h of a clip. Usual mean h: 99 % of the familiar clips lie below. Plan: CPU time, that of a plan with the head "
        "being 1."
    )
    return Table("Judges side by side", text, rows)


def markdown(table: Table) -> str:
    """A table as Markdown, under its title."""
    head, *rows = table.rows
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join([f"### {table.title}", "", *([table.text, ""] if table.text else []), *lines, ""])


def targets(part: Part) -> Table:
    """The targets of C3's probes beside what was measured."""
    rows = [["", "measured", "target", ""]]
    rows += [[v.what, v.measured, v.target, in_words(v.met)] for v in verdicts(part)]
    return Table("Targets of the probes", "", rows)


def reliability(part: Part, judge: str) -> str:
    """Reliability diagram of one judge, as SVG."""
    return plots.reliability(part["judges"][judge])


def reliabilities(part: Part) -> str:
    """Reliability of every judge, all scales pooled; right, the moving elements of unfamiliar recordings."""
    return "".join(f"<p>{name}</p>{reliability(part, name)}" for name in part["judges"])


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
