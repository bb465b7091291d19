"""`vidplan report`: `report.html` and `report.json` on the trials of a store."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robot_bridge.trials.comparison import Cell, Series

SETTINGS = "settings.json"
"""What `vidplan trials` keeps beside the recordings of a suite: its settings, and what the methods are."""


def main(argv: list[str]) -> int:
    """Run `vidplan report`; 0 when the report was written."""
    arguments = _parser().parse_args(argv)
    from robot_bridge.errors import BridgeError

    try:
        out = arguments.out or arguments.store.parent / f"{arguments.store.stem}-report"
        content = make_report(arguments.store, out, arguments.suite, arguments.baseline)
    except BridgeError as error:
        print(f"vidplan report: {error}", file=sys.stderr)
        return 1
    for row in content["table"]:
        print(table_line(row))
    print(f"report: {out / 'report.html'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidplan report",
        description="Report on the trials of a store, simulated, real or both: success and instruction following per "
        "task and method with 95 % intervals, significance, preferences, latencies, videos of failures. "
        "Writes report.html (one file; large videos are linked) and report.json.",
        epilog="Trials of different suites, and simulated and real ones, are never pooled.",
    )
    parser.add_argument("--store", type=Path, required=True, metavar="FILE", help="trial store, see `vidplan trial`")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write (default: STORE-report beside the store)"
    )
    parser.add_argument("--suite", metavar="NAME", help="only the trials of this suite")
    parser.add_argument(
        "--baseline",
        metavar="METHOD",
        help="compare the other methods with this one (default: nominal, else the first)",
    )
    return parser


def make_report(store: Path, out: Path, suite: str | None = None, baseline: str | None = None) -> dict[str, Any]:
    """Write ``report.html`` and ``report.json``.

    Args:
        store: The trial store.
        out: Folder to write into.
        suite: Only this suite; None: all.
        baseline: See `robot_bridge.trials.comparison.series`.

    Returns:
        What is in ``report.json``.

    Raises:
        StoreError: The store cannot be opened, or there are no such trials in it.
    """
    from robot_bridge.trials.comparison import series
    from robot_bridge.trials.report_page import build_page
    from robot_bridge.trials.store import StoreError, TrialStore

    with TrialStore(store, create=False) as opened:
        trials = opened.trials(suite)
        known = dict.fromkeys(trial.setup.suite for trial in opened.trials())
    if not trials:
        where = f"no trials of suite '{suite}'" if suite else "no trials yet"
        hint = f"; it has: {', '.join(known)}" if known else "; `vidplan trial` adds one"
        raise StoreError(f"{store}: {where}{hint}.")
    methods = {trial.setup.method for trial in trials}
    if baseline is not None and baseline not in methods:
        raise StoreError(f"baseline: no trials of '{baseline}'; there are: {', '.join(sorted(methods))}.")
    groups = series(trials, baseline)
    series_of = {group.suite: _settings(store, group.suite) for group in groups}
    content = report_content(groups) | {"series": {suite: kept for suite, kept in series_of.items() if kept}}
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write(out / "report.html", build_page(groups, store, out, series_of))
        _write(out / "report.json", json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise StoreError(f"--out: cannot write to {out}: {error}.") from error
    return content


def report_content(groups: Sequence[Series]) -> dict[str, Any]:
    """``report.json``: rates are fractions, None where nothing was judged."""
    return {
        "table": [_row(group, cell) for group in groups for cell in group.cells()],
        "significance": [_named(group, asdict(item)) for group in groups for item in group.differences()],
        "preferences": [_named(group, asdict(item)) for group in groups for item in group.preferences()],
    }


def _row(group: Series, cell: Cell) -> dict[str, Any]:
    credit = [t.labels.partial_credit for t in cell.trials if t.labels.partial_credit is not None]
    stalls = [t.figures.longest_stall_s for t in cell.trials if t.figures.longest_stall_s is not None]
    return _named(
        group,
        {
            "task": cell.task,
            "method": cell.method,
            "episodes": cell.success.of,
            "success_rate": cell.success.value,
            "instruction_following_rate": cell.followed.value,
            "wilson95": cell.success.wilson,
            "instruction_following_wilson95": cell.followed.wilson,
            "partial_credit": sum(credit) / len(credit) if credit else None,
            "not_judged": len(cell.trials) - cell.success.of,
            "errors": sum(trial.outcome == "error" for trial in cell.trials),
            "longest_stall_s": max(stalls) if stalls else None,
            "stalled_over_a_chunk": sum(trial.figures.stalled for trial in cell.trials),
            "uncertain_plans": sum(trial.figures.uncertain_plans or 0 for trial in cell.trials),
        },
    )


def _named(group: Series, row: dict[str, Any]) -> dict[str, Any]:
    return {"suite": group.suite, "source": group.source, **row}


def table_line(row: dict[str, Any]) -> str:
    """A row of ``table`` for the terminal."""
    name = f"{row['suite']:<12} {row['source']:<5} {row['task']:<10} {row['method']:<20}"
    if not row["episodes"]:
        return f"{name} not judged"
    low, high = row["wilson95"]
    followed = row["instruction_following_rate"]
    return (
        f"{name} {100 * row['success_rate']:4.0f} % of {row['episodes']:3d} ({100 * low:.0f} to {100 * high:.0f})"
        + ("" if followed is None else f", followed {100 * followed:.0f} %")
    )


def _settings(store: Path, suite: str) -> dict[str, Any]:
    path = store.parent / "runs" / suite / SETTINGS
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)
