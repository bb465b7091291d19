"""The report's tables, as HTML."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from html import escape

import numpy as np

from robot_bridge.onlooker import goal_object
from robot_bridge.trials.comparison import Cell, Difference, Series
from robot_bridge.trials.statistics import Rate
from robot_bridge.trials.trial import Trial


def paper_table(series: Series, kind: str) -> str:
    """A rate in percent, a row per task and a column per method, as the paper's Table 1.

    Args:
        series: The trials.
        kind: ``success`` or ``followed``.
    """
    head = "".join(f"<th>{escape(method)}</th>" for method in series.methods)
    body = ""
    for task in series.tasks:
        cells = [series.cell(task, method) for method in series.methods]
        known = [getattr(cell, kind).value for cell in cells if getattr(cell, kind).of]
        best = max(known) if len(known) > 1 and len(set(known)) > 1 else None
        columns = "".join(f"<td>{_rate(getattr(cell, kind), best)}</td>" for cell in cells)
        body += f"<tr><th>{_task(cells)}</th>{columns}</tr>"
    return f'<div class="wide"><table class="numbers paper"><tr><th>task</th>{head}</tr>{body}</table></div>'


def _task(cells: list[Cell]) -> str:
    """The instruction with its object set off, "(ID)" where the nominal policy knows it."""
    trials = [trial for cell in cells for trial in cell.trials]
    instruction = Counter(trial.setup.instruction for trial in trials).most_common(1)[0][0]
    words, task = escape(instruction), escape(goal_object(instruction) or cells[0].task)
    named = words.replace(task, f"<i>{task}</i>", 1) if task in words else f"{words} <i>({task})</i>"
    return named + (" (ID)" if any(trial.setup.in_distribution for trial in trials) else "")


def _rate(rate: Rate, best: float | None) -> str:
    if rate.value is None or rate.wilson is None:
        return "-"
    shown = f"{100 * rate.value:.0f}"
    low, high = (f"{100 * bound:.0f}" for bound in rate.wilson)
    shown = f"<b>{shown}</b>" if rate.value == best else shown
    return f'{shown}<br><span class="sub">{low} to {high}, n = {rate.of}</span>'


def differences(series: Series) -> str:
    """Every method against the baseline, the other pairs folded; empty text where there is nothing to compare."""
    found = series.differences()
    against = [item for item in found if item.baseline == series.methods[0]]
    others = [item for item in found if item.baseline != series.methods[0]]
    folded = f"<details><summary>The other pairs of methods</summary>{_pairs(others)}</details>" if others else ""
    return (_pairs(against) if against else "") + folded


def _pairs(items: list[Difference]) -> str:
    rows = ""
    for item in items:
        names = f"<th>{escape(item.task)}</th><td>{escape(item.method)} against {escape(item.baseline)}</td>"
        pairs = f"<td>{item.pairs}</td><td>{item.won} : {item.lost}</td>"
        rows += (
            f"<tr>{names}<td>{item.points:+.0f}</td>{pairs}<td>{_p(item.mcnemar)}</td><td>{_p(item.barnard)}</td></tr>"
        )
    head = "".join(f"<th>{name}</th>" for name in ("", "points", "same seeds", "won : lost", "McNemar p", "Barnard p"))
    return f'<div class="wide"><table class="numbers"><tr><th>task</th>{head}</tr>{rows}</table></div>'


def pace(series: Series) -> str:
    """Whether planning kept up, a row per method; empty text where nothing was measured."""
    rows = ""
    for method in series.methods:
        known = [t.figures for t in series.trials if t.setup.method == method and t.figures.longest_stall_s is not None]
        round_trips = [ms for figures in known for ms in figures.latencies_ms]
        if not round_trips:
            continue
        median, slow = np.quantile(round_trips, (0.5, 0.95))
        longest = max(figures.longest_stall_s or 0.0 for figures in known)
        stalled = sum(figures.stalled for figures in known)
        unsure = sum(figures.uncertain_plans or 0 for figures in known)
        rows += (
            f"<tr><th>{escape(method)}</th><td>{len(round_trips)}</td><td>{unsure}</td><td>{median:.0f}</td>"
            f"<td>{slow:.0f}</td>"
            f"<td>{longest:.1f}</td><td>{stalled} of {len(known)}</td></tr>"
        )
    names = (
        "plans",
        "uncertain",
        "median ms",
        "95 % ms",
        "longest stall, s",
        "trials that stalled longer than a chunk",
    )
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        f'<div class="wide"><table class="numbers"><tr><th>method</th>{head}</tr>{rows}</table></div>' if rows else ""
    )


def preferences(series: Series) -> str:
    """Outcome of the blinded comparisons, empty text without any."""
    rows = "".join(
        f"<tr><th>{escape(p.first)} and {escape(p.second)}</th>"
        f"<td>{p.for_first}</td><td>{p.for_second}</td><td>{p.ties}</td></tr>"
        for p in series.preferences()
    )
    head = "<th>first preferred</th><th>second preferred</th><th>tie</th>"
    return f'<table class="numbers"><tr><th>methods</th>{head}</tr>{rows}</table>' if rows else ""


def log(series: Series) -> str:
    """Every trial as a line."""
    names = ("trial", "task", "method", "seed", "ended", "success", "followed", "touched first", "credit")
    head = "".join(
        f"<th>{name}</th>" for name in (*names, "plans", "95 % ms", "stall s", "unsure", "seconds", "started", "note")
    )
    rows = "".join(_line(trial) for trial in series.trials)
    return f'<div class="wide"><table class="log"><tr>{head}</tr>{rows}</table></div>'


def _line(trial: Trial) -> str:
    setup, labels, figures = trial.setup, trial.labels, trial.figures
    slow = figures.latency_quantiles_ms
    cells = [trial.id, setup.task, setup.method, setup.seed, trial.outcome]
    cells += [_yes(labels.success), _yes(labels.instruction_followed), labels.first_object, labels.partial_credit]
    cells += [figures.plans, f"{slow[-1]:.0f}" if slow else None]
    cells += [None if figures.longest_stall_s is None else f"{figures.longest_stall_s:.1f}"]
    cells += [None if figures.mean_uncertainty is None else f"{figures.mean_uncertainty:.2f}"]
    cells += [None if figures.seconds is None else f"{figures.seconds:.0f}"]
    cells += [datetime.fromtimestamp(trial.started).strftime("%Y-%m-%d %H:%M"), labels.note]
    return "<tr>" + "".join(f"<td>{'' if c is None else escape(str(c))}</td>" for c in cells) + "</tr>"


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: ""}[value]


def _p(value: float | None) -> str:
    return "-" if value is None else "&lt; 0.0001" if value < 1e-4 else f"{value:.4f}"
