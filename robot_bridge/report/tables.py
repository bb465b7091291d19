"""Tables of the page: figures, plans with their candidates, and the log of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from robot_bridge.report.run import Run
from robot_bridge.report.video import winner

QUIET_EVENTS = ("plan", "plan_requested", "progress")
COLUMNS = ("reward", "relevance", "distance", "uncertainty", "weight", "value")


def figures(summary: Mapping[str, Any]) -> str:
    """The key figures as a row of large numbers."""
    shown = [
        ("task", {True: "done", False: "not done", None: "?"}[summary["success"]]) if "success" in summary else None,
        ("object touched first", summary["first_object"] or "none") if "first_object" in summary else None,
        ("plans", summary["plans"]),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("per plan, median", _ms(summary["median_plan_ms"])),
        ("per plan, 95 %", _ms(summary["p95_plan_ms"])),
        ("mean uncertainty", "-" if summary["mean_uncertainty"] is None else f"{summary['mean_uncertainty']:.2f}"),
        ("holds", summary["holds"]),
        ("refusals", sum(summary["rejected"].values())),
    ]
    return "".join(
        f"<div><b>{escape(str(item[1]))}</b><span>{escape(item[0])}</span></div>" for item in shown if item is not None
    )


def plans(run: Run) -> str:
    """Every plan as a line that opens to its candidates."""
    return "".join(_plan(run, plan) for plan in run.plans)


def _plan(run: Run, plan: Mapping[str, Any]) -> str:
    chosen = winner(dict(plan))
    reward = f"{chosen['reward']:+.3f}" if "reward" in chosen else "-"
    unsure = f"{plan['uncertainty']:.2f}" if plan.get("uncertainty") is not None else "-"
    state = "" if plan.get("accepted", True) else '<i class="bad">refused</i>'
    cells = [
        f"{plan['plan']}",
        f"{float(plan.get('t') or run.start) - run.start:.1f} s",
        escape(str(chosen.get("name", "?"))) + (" + refined" if plan.get("refined") else ""),
        reward,
        unsure,
        _ms(plan.get("latency_ms")),
        state,
    ]
    line = "".join(f"<span>{cell}</span>" for cell in cells)
    objective = plan.get("objective") or []
    note = f"<p>Local objective before and after refinement: {objective[0]:.3f} to {objective[1]:.3f}.</p>" if (
        len(objective) == 2
    ) else ""  # fmt: skip
    return f'<details class="plan"><summary>{line}</summary>{note}{candidates(plan)}</details>'


def candidates(plan: Mapping[str, Any]) -> str:
    """Table of all candidates of a plan, best first, the chosen one marked."""
    listed = list(enumerate(plan.get("candidates") or []))
    listed.sort(key=lambda item: -float(item[1].get("reward") or 0.0))
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    body = ""
    for index, candidate in listed:
        cells = "".join(f"<td>{_number(candidate.get(column))}</td>" for column in COLUMNS)
        mark = ' class="chosen"' if index == plan.get("chosen") else ""
        body += f"<tr{mark}><th>{escape(str(candidate.get('name', index)))}</th>{cells}</tr>"
    return f'<table class="numbers"><tr><th>candidate</th>{head}</tr>{body}</table>' if listed else ""


def events(run: Run) -> str:
    """Log of everything but the plans themselves, equal neighbours drawn together."""
    rows: list[list[Any]] = []
    for event in run.events:
        if event.get("event") in QUIET_EVENTS:
            continue
        what = str(event.get("event", "?"))
        said = [str(event.get("reason") or "").replace("_", " "), str(event.get("detail") or "")]
        why = ": ".join(filter(None, said))
        if rows and rows[-1][1:3] == [what, why]:
            rows[-1][3] += 1
        else:
            rows.append([event.get("t"), what, why, 1])
    body = "".join(_event(run, *row) for row in rows)
    return f'<table class="log"><tr><th>time</th><th>event</th><th></th></tr>{body}</table>' if rows else ""


def _event(run: Run, time: float | None, what: str, why: str, count: int) -> str:
    when = "" if time is None else f"{time - run.start:.2f} s"
    bad = ' class="bad"' if what in ("reject", "hold", "server_lost") else ""
    times = f" ({count} times in a row)" if count > 1 else ""
    return f"<tr><td>{when}</td><td{bad}>{escape(what.replace('_', ' '))}</td><td>{escape(why)}{times}</td></tr>"


def bag(summary: Mapping[str, Any]) -> str:
    """What a replayed bag holds, empty text for a live run."""
    topics = (summary.get("bag") or {}).get("topics") or {}
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(topic['type'])}</td><td>{topic['count']}</td>"
        f"<td>{_hertz(topic['hz'])}</td></tr>"
        for name, topic in topics.items()
    )
    head = "<tr><th>topic</th><th>type</th><th>messages</th><th>rate</th></tr>"
    return f'<table class="numbers">{head}{rows}</table>' if rows else ""


def bullet_list(items: Iterable[str]) -> str:
    """An HTML list, empty text for no items."""
    lines = "".join(f"<li>{escape(item)}</li>" for item in items)
    return f"<ul>{lines}</ul>" if lines else ""


def _ms(value: Any) -> str:
    return "-" if value is None else f"{float(value):.0f} ms"


def _number(value: Any) -> str:
    return "-" if value is None else f"{float(value):.3f}"


def _hertz(rate: float) -> str:
    return f"{rate:.1f} Hz" if rate else ""
