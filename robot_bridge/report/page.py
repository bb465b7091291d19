"""`report.html`: one self-contained page, the teaching part first."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from robot_bridge.report import plots, tables
from robot_bridge.report.fidelity import Fidelity, fidelity
from robot_bridge.report.run import Run
from robot_bridge.report.scrub import scrubber
from robot_bridge.report.strips import notable, strip
from robot_bridge.report.video import winner

EMBED_BELOW = 12_000_000
"""Largest video in bytes that is put into the page itself; a larger one is linked."""


def build_page(run: Run, summary: Mapping[str, Any], video: Path | None) -> str:
    """The page as text; ``video`` is None where there was nothing to show."""
    scores = [fidelity(run, pictures) for plan in run.plans if (pictures := run.imagined(plan)) is not None]
    template = Template(resources.files("robot_bridge.report").joinpath("page.html").read_text())
    return template.substitute(
        title=escape(str(summary.get("instruction") or "VidPlan run")),
        subtitle=escape(_subtitle(run)),
        figures=tables.figures(summary),
        notes=_notes(summary),
        scrub=_scrub(run),
        video=_video(video),
        strips=_strips(run),
        curves=_curves(run, scores),
        plans=_plans(run),
        events=_section("What else happened", "", tables.events(run))
        + _section("The recording", "", tables.bag(summary)),
        foot=_foot(run),
    )


def _subtitle(run: Run) -> str:
    spec = run.meta.get("spec") or {}
    parts = ["Replay of a recording, nothing was sent to a robot" if run.meta.get("mode") == "dry_run" else "Live run"]
    parts += [f"{run.meta['robot']} arm"] if run.meta.get("robot") else []
    parts += [f"model {spec['model_name']} ({str(spec.get('model_hash', ''))[:8]})"] if spec.get("model_name") else []
    if isinstance(run.meta.get("started"), (int, float)):
        parts.append(datetime.fromtimestamp(run.meta["started"]).strftime("%Y-%m-%d %H:%M"))
    return "  ·  ".join(parts)


def _notes(summary: Mapping[str, Any]) -> str:
    items = tables.bullet_list(str(note) for note in summary.get("notes") or [])
    return f'<div class="notes">{items}</div>' if items else ""


def _video(video: Path | None) -> str:
    if video is None:
        return _section("The run", "No plan came back with pictures, so there is no video.", " ")
    source = video.name
    if video.stat().st_size < EMBED_BELOW:
        source = "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode()
    tag = f'<video src="{source}" controls muted loop autoplay playsinline></video>'
    text = (
        "For every plan: the three views the robot saw, the future it imagined for the chunk of motion it chose, the "
        "same future with its uncertainty on top (blue: sure, red: unsure), and the real frames of those moments. The "
        "next plan takes over before a chunk ends, so the last frames may differ because the robot changed its mind."
    )
    return _section("Imagined, doubted, happened", text, tag)


def _scrub(run: Run) -> str:
    text = (
        "Drag the slider (or use the arrow keys) to any moment: what the cameras saw, what the newest plan had "
        "imagined for that moment, where it was unsure, and below, what the arm did beside what was planned and "
        "commanded."
    )
    if run.meta.get("mode") == "dry_run":
        text += " Nothing was sent: the commands are those the bridge would have sent, each plan from the recorded arm."
    return _section("Every moment", text, scrubber(run))


def _strips(run: Run) -> str:
    text = (
        "A few plans in detail. The numbers under the pictures compare imagined and real frames over all views (PSNR, "
        "higher is closer); repeating the last seen frame is the forecast that costs nothing."
    )
    if run.meta.get("mode") == "dry_run":
        text += (
            " In a replay the recorded arm did not follow these plans: the real frames show the operator's motion, so "
            "they agree with the imagined ones only where both moved alike."
        )
    blocks = []
    for plan, why in notable(run):
        pictures = run.imagined(plan)
        if pictures is None:
            continue
        chosen = winner(plan)
        facts = [f"chose {chosen['name']}"] if "name" in chosen else []
        facts += [f"reward {chosen['reward']:+.3f}"] if "reward" in chosen else []
        facts += [f"uncertainty {plan['uncertainty']:.2f}"] if plan.get("uncertainty") is not None else []
        facts += [] if plan.get("accepted", True) else ["refused by the guard"]
        head = f'<h3>Plan {plan["plan"]}, {why} <span class="sub">{escape("  ·  ".join(facts))}</span></h3>'
        blocks.append(head + strip(run, plan, pictures, fidelity(run, pictures)))
    return _section("Plan by plan", text, "".join(blocks))


def _curves(run: Run, scores: list[Fidelity]) -> str:
    moved = "commanded against recorded" if run.meta.get("mode") == "dry_run" else "commanded against measured"
    figures = [
        (
            plots.reward_and_uncertainty(run),
            "Reward of the chosen candidate, and uncertainty of the imagined chunk; grey: holding.",
        ),
        (plots.motion(run), f"Flange in the base frame and gripper (0 open, 1 closed): {moved}."),
        (plots.imagination_quality(scores), "Closeness to the real frames by step; median and quartiles of all plans."),
        (plots.latency(run), "Time per plan as the bridge saw it, and where the server spent it."),
    ]
    shown = "".join(f"<figure>{svg}<figcaption>{text}</figcaption></figure>" for svg, text in figures if svg)
    return _section("Curves", "", f'<div class="pair">{shown}</div>' if shown else "")


def _plans(run: Run) -> str:
    names = ("plan", "time", "chosen", "reward", "uncertainty", "latency", "")
    head = f'<div class="planhead">{"".join(f"<span>{name}</span>" for name in names)}</div>'
    text = (
        "Open a line for all candidates. Reward: weight x (relevance - lambda x distance in the picture), less what "
        "the tool is beside the object's place on the table; the highest sum of reward and weighted value wins. Names: "
        "an axis of the base frame, or stay; close, open: fingers toggle; previous: the plan before, carried on; "
        "policy: what a policy would do; ~N: a perturbed copy."
    )
    return _section("Every plan and its candidates", text, head + tables.plans(run) if run.plans else "")


def _foot(run: Run) -> str:
    spec = run.meta.get("spec")
    details = escape(json.dumps(spec, indent=1)) if spec else ""
    return f"<details><summary>What the planner promised (spec)</summary><pre>{details}</pre></details>" if spec else ""


def _section(title: str, text: str, content: str) -> str:
    if not content:
        return ""
    return f"<section><h2>{title}</h2>{f'<p>{text}</p>' if text else ''}{content}</section>"
