"""Puts the report together: recordings, the models' figures, ranking fidelity, the time of a plan."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from models.bundle import Bundle
from models.evaluation import Media, Options, evaluate_models
from planner_server.config import PlannerConfig
from planner_server.evaluation import recordings
from planner_server.evaluation.errors import EvaluationError
from planner_server.evaluation.media_files import load_media, save_media
from planner_server.evaluation.parts import Parts
from planner_server.evaluation.ranking import RankingOptions, measure_ranking
from planner_server.evaluation.ranking_summary import summarise
from planner_server.evaluation.settings import PROBES, Settings
from planner_server.evaluation.timing import describe_machine, measure_plans

Say = Callable[[str, float], None]

NAMES = {"speed": "speedup", "plan": "plan_seconds"}
"""Parts whose figures go by another name in the report."""


def evaluate(bundle: Bundle, settings: Settings, say: Say) -> tuple[dict[str, Any], Media]:
    """Measure the wanted parts, or take what an earlier run with the same output folder kept of them.

    Args:
        bundle: The models, on the CPU.
        settings: What to measure.
        say: Told what is done and the share of it that is.

    Returns:
        The report's figures and pictures. A part that could not be measured is missing, and ``failed`` says why.
    """
    parts = Parts(settings.out, {"bundle": bundle.hash, "quick": settings.quick})
    planned = {"planner": asdict(PlannerConfig())}
    media = Media()
    if wanted := settings.model_parts:
        _measure_models(bundle, settings, wanted, parts, media, say)
    if "ranking" in settings.parts:
        options = RankingOptions(settings.ranked_states, settings.look, settings.workers)
        ranked = {**planned, "states": options.states, "look": options.look}
        parts.run("ranking", ranked, partial(_measure_ranking, bundle, options, parts.folder, say))
    if "plan" in settings.parts:
        parts.run(
            "plan", {**planned, "threads": settings.threads}, partial(measure_plans, bundle, settings.timed_plans, say)
        )
    return _report(bundle, settings, parts), media


def _measure_models(
    bundle: Bundle, settings: Settings, wanted: Sequence[str], parts: Parts, media: Media, say: Say
) -> None:
    try:
        fitted = "controllability" in wanted
        found = recordings.prepare(settings.data, settings.ood, settings.quick, fitted, settings.workers, say)
    except EvaluationError as error:
        parts.failed |= {part: str(error) for part in wanted}
        return
    measured_on: dict[str, Any] = {name: str(getattr(settings, name)) for name in ("data", "ood", "lpips")}
    measured_on["planner_steps"] = PlannerConfig().flow_steps
    for part in wanted:
        more: dict[str, Any] = {"threads": settings.threads} if part == "speed" else {}
        if part == "controllability":
            more = {"fitting": str(found.fitting)}
        if part == PROBES:
            more = {"probes": _digests(settings.probes)}
        file = parts.folder / f"{part}.npz"
        parts.run(part, {**measured_on, **more}, partial(_measure_part, bundle, settings, found, part, file, say))
        if part in parts.results:
            load_media(file, media)


def _measure_part(
    bundle: Bundle, settings: Settings, found: recordings.Recordings, part: str, media_file: Path, say: Say
) -> dict[str, Any]:
    options = Options(
        quick=settings.quick,
        clips=settings.clips,
        threads=settings.threads,
        parts=(NAMES.get(part, part),),
        lpips=settings.lpips,
        probes=settings.probes,
        planner_steps=PlannerConfig().flow_steps,
    )
    results, media = evaluate_models(bundle, found.held_out, found.fitting, found.unfamiliar, options, say)
    if failed := results.get("failed"):
        raise EvaluationError("; ".join(failed.values()))
    save_media(media, media_file)
    return results


def _digests(run: Path | None) -> dict[str, str]:
    """The probes of a training run: one that was trained again is measured again."""
    files = sorted(run.glob("probe-*.safetensors")) if run else []
    return {file.stem: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


def _measure_ranking(bundle: Bundle, options: RankingOptions, folder: Path, say: Say) -> dict[str, Any]:
    return summarise(measure_ranking(bundle, PlannerConfig(), options, folder, say))


def _report(bundle: Bundle, settings: Settings, parts: Parts) -> dict[str, Any]:
    """The figures under the report's names, and what they were measured with."""
    size = sum(file.stat().st_size for file in settings.bundle.iterdir() if file.is_file())
    report: dict[str, Any] = {
        "bundle": {"name": bundle.config.name, "sha256": bundle.hash, "megabytes": round(size / 1e6, 1)},
        "machine": describe_machine(),
        "quick": settings.quick,
    }
    for part, figures in parts.results.items():
        # `evaluate_models` names its own, and may add to them, e.g. what was measured on.
        report |= figures if part in settings.model_parts else {NAMES.get(part, part): figures}
    report["seconds"] = parts.seconds
    if parts.failed:
        report["failed"] = parts.failed
    return report
