"""Filmstrips of the page: imagined, unsure and real frames of one plan under each other, with PSNR below."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from robot_bridge.report.drawing import data_uri, fit
from robot_bridge.report.fidelity import Fidelity
from robot_bridge.report.run import Imagined, Run
from robot_bridge.report.video import seen_at, winner

TILE = (160, 96)


def notable(run: Run, count: int = 6) -> list[tuple[dict[str, Any], str]]:
    """Up to ``count`` plans worth showing, each with the reason: surest, least sure, best, then evenly spread.

    Plans whose future was recorded to its end come first: the others have nothing to compare with.
    """
    shown = [plan for plan in run.plans if run.imagined(plan) is not None]
    shown = [plan for plan in shown if plan.get("times") and run.real(plan["times"][-1]) is not None] or shown
    if not shown:
        return []
    chosen: dict[int, str] = {}

    def take(plan: dict[str, Any], why: str) -> None:
        if len(chosen) < count:
            chosen.setdefault(int(plan["plan"]), why)

    take(shown[0], "the first plan")
    judged = [plan for plan in shown if plan.get("uncertainty") is not None]
    if judged:
        take(max(judged, key=lambda plan: plan["uncertainty"]), "the one it was least sure of")
        take(min(judged, key=lambda plan: plan["uncertainty"]), "the one it was surest of")
    rewarded = [plan for plan in shown if "reward" in winner(plan)]
    if rewarded:
        take(max(rewarded, key=lambda plan: winner(plan)["reward"]), "the one it liked best")
    take(shown[-1], "the last plan")
    for index in np.linspace(0, len(shown) - 1, count).round().astype(int):
        take(shown[index], "on the way")
    return [(plan, chosen[int(plan["plan"])]) for plan in shown if int(plan["plan"]) in chosen]


def strip(run: Run, plan: dict[str, Any], pictures: Imagined, score: Fidelity) -> str:
    """HTML of one plan: a table of pictures per view, the first one open."""
    happened = "what was recorded then" if run.meta.get("mode") == "dry_run" else "what then happened"
    names = run.views or [f"view {index}" for index in range(len(pictures.observed))]
    blocks = []
    for view, name in enumerate(names[: len(pictures.observed)]):
        rows = [
            ("imagined", "imagined", [frame[view] for frame in pictures.frames]),
            ("unsure", "where it was unsure", [frame[view] for frame in pictures.composites]),
            ("real", happened, [None if (r := run.real(float(t))) is None else r[view] for t in pictures.times]),
        ]
        body = "".join(
            f'<tr class="{kind}"><th>{label}</th>{"".join(map(_cell, cells))}</tr>' for kind, label, cells in rows
        )
        head = "".join(f"<td>+{t - seen_at(plan, pictures):.1f} s</td>" for t in pictures.times)
        first = f'<tr><td></td><td rowspan="4" class="seen">{_cell(pictures.observed[view], "div")}seen</td>{head}</tr>'
        foot = _psnr_rows(score) if view == 0 else ""
        blocks.append(
            f"<details{' open' if view == 0 else ''}><summary>{escape(name)} camera</summary>"
            f'<div class="wide"><table class="strip">{first}{body}{foot}</table></div></details>'
        )
    return "".join(blocks)


def _psnr_rows(score: Fidelity) -> str:
    """Decibels under the pictures, over all views; the better of the two in bold."""
    rows = []
    for label, own, other in (
        ("PSNR, imagined", score.imagined, score.repeated),
        ("PSNR, repeat last frame", score.repeated, score.imagined),
    ):
        cells = "".join(_decibels(a, a >= b) for a, b in zip(own, other, strict=True))
        rows.append(f'<tr class="psnr"><th colspan="2">{label}</th>{cells}</tr>')
    return "".join(rows)


def _decibels(value: float, better: bool) -> str:
    text = f"{value:.1f} dB" if np.isfinite(value) else "-"
    return f"<td>{f'<b>{text}</b>' if better else text}</td>"


def _cell(picture: np.ndarray | None, tag: str = "td") -> str:
    if picture is None:
        return f'<{tag} class="none">not recorded</{tag}>'
    source = data_uri(fit(picture, *TILE))
    return f'<{tag}><img src="{source}" width="{TILE[0]}" height="{TILE[1]}" alt=""></{tag}>'
