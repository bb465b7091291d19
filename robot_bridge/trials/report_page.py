"""The report on trials as one self-contained page, in the dress of the report on a run."""

from __future__ import annotations

import base64
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from robot_bridge.report.tables import bullet_list
from robot_bridge.trials import report_plots, report_tables
from robot_bridge.trials.comparison import Series
from robot_bridge.trials.trial import INTERRUPTED, RUNNING, Trial

EMBED_TOTAL = 25_000_000
"""Bytes of video that are put into the page; what goes beyond is linked."""
FEW = 6
"""Failures that are shown at once, not folded."""
STYLE = (
    "<style>.paper td { vertical-align: top; } .paper td .sub { font-size: 12px; } .log td { white-space: nowrap; }"
    " .fails { display: grid; grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); gap: 0 20px; }"
    " .fails figure { margin: 0 0 14px; } .fails video { margin: 8px 0 4px; }</style>"
)
SOURCES = {"sim": "simulated", "real": "on the robot"}


def build_page(groups: Sequence[Series], store: Path, out: Path, kept: Mapping[str, Mapping[str, Any]]) -> str:
    """The page as text.

    Args:
        groups: The trials.
        store: The trial store; paths of the trials are relative to its folder.
        out: Folder that the page will be written into.
        kept: By suite, what `vidplan trials` keeps of it: ``settings``, ``methods``.
    """
    trials = [trial for group in groups for trial in group.trials]
    template = Template(resources.files("robot_bridge.report").joinpath("page.html").read_text())
    videos = _Videos(store.resolve().parent, out.resolve())
    parts = defaultdict(  # a run's page has parts that this one leaves empty
        str,
        title="Trials",
        subtitle=escape(f"{store.name}  ·  VidPlan {', '.join(sorted({trial.package for trial in trials}))}"),
        figures=_figures(groups, trials),
        notes=_notes(trials),
        video=STYLE,
        strips="".join(_series(group, videos, kept.get(group.suite, {})) for group in groups),
    )
    return template.substitute(parts)


def _unfinished(trials: Sequence[Trial]) -> list[str]:
    """What keeps trials out of the rates, in words."""
    counts = {
        "Trials that nobody judged and that count in no rate": sum(not t.judged for t in trials),
        "Trials interrupted, or still running": sum(t.outcome in (INTERRUPTED, RUNNING) for t in trials),
        "Trials that ended in an error": sum(t.outcome == "error" for t in trials),
    }
    return [f"{words}: {count}." for words, count in counts.items() if count] + _mixed(trials)


def _mixed(trials: Sequence[Trial]) -> list[str]:
    """Methods whose trials of one suite were planned with different weights."""
    used: dict[tuple[str, str], set[str]] = {}
    for trial in trials:
        if trial.figures.bundle:
            used.setdefault((trial.setup.suite, trial.setup.method), set()).add(trial.figures.bundle)
    mixed = {key: hashes for key, hashes in used.items() if len(hashes) > 1}
    return [
        f"Planned with {len(hashes)} different bundles: {method} in {suite}."
        for (suite, method), hashes in mixed.items()
    ]


def _figures(groups: Sequence[Series], trials: Sequence[Trial]) -> str:
    shown = {
        "trials": len(trials),
        "judged": sum(trial.judged for trial in trials),
        "tasks": len({trial.setup.task for trial in trials}),
        "methods": len({trial.setup.method for trial in trials}),
        "series": len(groups),
    }
    return "".join(f"<div><b>{value}</b><span>{name}</span></div>" for name, value in shown.items())


def _notes(trials: Sequence[Trial]) -> str:
    items = bullet_list(_unfinished(trials))
    return f'<div class="notes">{items}</div>' if items else ""


def _series(group: Series, videos: _Videos, kept: Mapping[str, Any]) -> str:
    parts = [
        ("Success, %", "Under each rate its 95 % interval (Wilson). Laid out as Table 1 of the paper; ID: in the "
         "nominal policy's distribution.", report_tables.paper_table(group, "success")),
        ("Instruction followed, %", "Whether the robot went for the named object first.",
         report_tables.paper_table(group, "followed") if any(c.followed.of for c in group.cells()) else ""),
        ("Are they different?", "McNemar's exact test compares trials of the same seed, Barnard's all of them. p is "
         "the chance of a difference at least this large if there were none; no correction for many comparisons.",
         report_tables.differences(group)),
        ("Does planning keep up?", "A stall is a time on the robot's clock that the arm stands still because the next "
         "plan is not there.", report_tables.pace(group)),
        ("Preferred, blinded", "What operators preferred without knowing which was which.",
         report_tables.preferences(group)),
        ("Curves", "", _curves(group)),
        ("Failures", "", _failures(group, videos)),
        ("", "", f"<details><summary>All {len(group.trials)} trials</summary>{report_tables.log(group)}</details>"),
    ]  # fmt: skip
    body = "".join(
        (f"<h3>{title}</h3>" if title else "") + (f"<p>{text}</p>" if text else "") + content
        for title, text, content in parts
        if content
    )
    return f"<section><h2>{escape(group.suite)}, {SOURCES[group.source]}</h2>{_about(kept)}{body}</section>"


def _about(kept: Mapping[str, Any]) -> str:
    """The methods and settings of a suite, where they were kept."""
    methods = "".join(
        f"<li><b>{escape(name)}</b>: {escape(says)}</li>" for name, says in kept.get("methods", {}).items()
    )
    settings = {name: value for name, value in kept.get("settings", {}).items() if value}
    words = [f"{name.replace('_', ' ')} {value if isinstance(value, (int, float, str)) else ' '.join(value)}"
             for name, value in settings.items()]  # fmt: skip
    return (f"<ul>{methods}</ul>" if methods else "") + (
        f'<p class="sub">{escape(", ".join(words))}</p>' if words else ""
    )


def _curves(group: Series) -> str:
    figures = [
        (report_plots.rates(group, "success"), "Success with its 95 % interval."),
        (report_plots.rates(group, "followed"), "Instruction followed with its 95 % interval."),
        (report_plots.latencies(group), "Round trips of all plans."),
    ]
    shown = "".join(f"<figure>{svg}<figcaption>{text}</figcaption></figure>" for svg, text in figures if svg)
    return f'<div class="pair">{shown}</div>' if shown else ""


def _failures(group: Series, videos: _Videos) -> str:
    """A fold per task and method. The baseline's come last: what is left of the page's room for videos is theirs."""
    failed = {
        (method, task): [trial for trial in group.cell(task, method).trials if trial.labels.success is False]
        for method in (*group.methods[1:], group.methods[0])
        for task in group.tasks
    }
    unfolded = " open" if sum(map(len, failed.values())) <= FEW else ""
    return "".join(
        f"<details{unfolded}><summary>{escape(f'{method}, {task}')}: {len(trials)}</summary>"
        f'<div class="fails">{"".join(_failure(trial, videos) for trial in trials)}</div></details>'
        for (method, task), trials in failed.items()
        if trials
    )


def _failure(trial: Trial, videos: _Videos) -> str:
    touched = f", touched first: {trial.labels.first_object}" if trial.labels.first_object else ""
    note = f"; {trial.labels.note}" if trial.labels.note else ""
    text = f"{trial.setup.task}, {trial.setup.method}, seed {trial.setup.seed}: {trial.outcome}{touched}{note}"
    return f"<figure>{videos.show(trial)}<figcaption>{escape(text)}</figcaption></figure>"


class _Videos:
    """Puts videos into the page until it is full, then links them."""

    def __init__(self, base: Path, out: Path) -> None:
        self._base, self._out, self._left = base, out, EMBED_TOTAL

    def show(self, trial: Trial) -> str:
        """Video and links of a trial, as far as its files are there."""
        video = self._file(trial.figures.video)
        page = self._file(f"{trial.setup.run}/report.html" if trial.setup.run else None)
        link = self._link(page, "its run") if page else ""
        if video is None:
            return link
        size = video.stat().st_size
        if size > self._left:
            return f"{self._link(video, 'video')} {link}"
        self._left -= size
        source = "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode()
        return f'<video src="{source}" controls muted preload="metadata"></video>{link}'

    def _link(self, path: Path, text: str) -> str:
        return f'<a href="{quote(os.path.relpath(path, self._out))}">{text}</a>'

    def _file(self, name: str | None) -> Path | None:
        path = self._base / name if name else None
        return path if path is not None and path.is_file() else None
