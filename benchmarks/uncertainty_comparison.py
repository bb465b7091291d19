"""Everything that can doubt an imagined video, side by side: 30-bin head, C3's probes, deep ensemble, MC dropout.

    python benchmarks/uncertainty_comparison.py --run work/probes --data data/varied --out runs/uncertainty

Trains what is not there yet (the probes on the same clips, a probe end to end, the members of the ensemble) in RUN, a
work folder of `vidplan train` whose stages are finished, and measures all judges on the same held-out clips, in and out
of distribution: calibration, correlation with the error, detection of unfamiliar recordings, and the cost of a plan.
Interrupted training and measuring go on (delete OUT/judges to measure anew). Figures go to OUT/comparison.json and .md,
pictures beside them; `docs/uncertainty-comparison.md` reads them.

Seconds are this process's CPU time; planners of all judges take turns. S-QUBED has no place in a plan: its cost is that
of the videos it asks for (ten refined instructions, ten videos each), imagined in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from squbed_on_clips import measure_squbed
from squbed_on_clips import table as squbed_table
from uncertainty_plots import draw_heat_maps, draw_reliability

from models.bundle import Bundle
from models.evaluation.footage import Footage
from models.evaluation.judged import Judged, imagine_clips
from models.evaluation.options import Options
from models.evaluation.probes import HEAD, Contender, contenders, judge_pictures, measure_judges
from models.evaluation.probes_table import comparison, markdown, probes, targets
from models.evaluation.spread_judges import DROPOUT, ENSEMBLE, Known, spread_contenders
from models.training.config import TABLETOP, with_probes
from models.training.engine_draw import draw_for
from models.training.ensemble_stage import LOOP, MEMBERS, EnsembleStage
from models.training.loop import train
from models.training.names import PROBES
from models.training.probe_stage import ProbeStage
from models.training.probes_together import train_together
from models.training.workshop import Workshop
from models.uncertainty.c3 import FeaturedVideoModel
from models.uncertainty.c3.files import load_trained, trained_probes
from plan_protocol.server import Context
from planner_server.config import PlannerConfig
from planner_server.options import DEFAULT_BUNDLE
from planner_server.service import blank_request, build_planner, open_bundle

STAGES = tuple(
    f"probe-{variant}-{score}" for variant in ("fixed-0.1", "multi", "continuous") for score in ("bce", "brier")
)
DETACHED, END_TO_END = "probe-continuous-bce", "probe-continuous-bce-end-to-end"
TIMED = (HEAD, "probe-fixed-0.1-bce", "probe-multi-bce", "probe-continuous-bce", ENSEMBLE, DROPOUT)
REFINEMENTS = VIDEOS = 10
"""What S-QUBED samples, as published."""
PART = 8


def main() -> int:
    """Train what is missing, measure, write."""
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    bundle = open_bundle(options.bundle, "cpu")
    workshop = Workshop(options.data, options.run, with_probes(TABLETOP))
    train_missing(workshop, options)
    recordings = {name: _clips(bundle, options.evaluation / name, options.clips) for name in ("held-out", *options.ood)}
    known = recordings.pop("held-out")
    part = measured(bundle, workshop, known, recordings, options)
    (options.out / "comparison.json").write_text(json.dumps(part, indent=1) + "\n")
    tables = (comparison(part), probes(part), targets(part), squbed_table(part["squbed"]))
    (options.out / "comparison.md").write_text(text := "\n".join(map(markdown, tables)))
    draw_reliability(part, options.out / "reliability.png")
    entrants = contenders(bundle, trained_probes(options.run))
    shown = [judge_pictures(bundle, entrants, clips, 1) for clips in (known, recordings[options.ood[-1]])]
    draw_heat_maps(shown, options.out / "heat-maps.png")
    print(text)
    return 0


def measured(
    bundle: Bundle, workshop: Workshop, known: Judged, recordings: Mapping[str, Judged], options: argparse.Namespace
) -> dict[str, Any]:
    """Figures of all judges, of S-QUBED, and the cost of a plan; what OUT/judges has is not measured again."""
    folder = workshop.folder
    kept = Kept(options.out / "judges")
    probing = contenders(bundle, trained_probes(folder))
    spreading = cache(lambda: baselines(bundle, workshop, options))

    def judge(name: str) -> Contender:
        return probing[name] if name in probing else spreading()[0][name]

    part: dict[str, Any] = {"judges": {}}
    for name in (*probing, ENSEMBLE, DROPOUT):
        one = kept.get(name, lambda name=name: measure_judges(bundle, {name: judge(name)}, known, recordings, _say))
        part |= {**one, "judges": {**part["judges"], **one["judges"]}}
    part["plan"] = kept.get("plan", lambda: cost_of_plans(bundle, judge, options.plans))
    part["squbed"] = kept.get("squbed", lambda: measure_squbed(bundle, known, recordings, _say))
    reports = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json")) if _kept_training(file.stem)]
    keys = ("steps", "seconds", "settings", "held_out")
    training = {report["stage"]: {key: report[key] for key in keys} for report in reports}
    return {**part, "made": kept.get("made", lambda: spreading()[1]), "training": training}


class Kept:
    """Figures in files of one folder, so that an interrupted run goes on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def get(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What is kept under a name, made and written first where it is missing."""
        file = self._folder / f"{name.replace(' ', '-')}.json"
        if not file.is_file():
            beside = file.with_suffix(".partial")
            beside.write_text(json.dumps(make()))
            os.replace(beside, file)
        return json.loads(file.read_text())


def train_missing(workshop: Workshop, options: argparse.Namespace) -> None:
    """Train the probes, the ensemble and the probe end to end, where they are not finished."""
    folder, preset, threads = workshop.folder, workshop.preset, options.threads
    together = replace(preset.loops[STAGES[0]], batch=8, rate=2e-3, threads=threads)
    length: dict[str, Any] = (
        {"steps": None, "minutes": options.minutes} if options.minutes else {"steps": options.steps}
    )
    train_together(workshop, STAGES, replace(together, **length))
    for member in range(MEMBERS):
        if not (folder / f"ensemble-{member}.safetensors").is_file():
            train(EnsembleStage(workshop, member), replace(LOOP, seed=member + 1, threads=threads), folder)
    if not (folder / f"{END_TO_END}.safetensors").is_file():
        stage = ProbeStage(workshop, PROBES[END_TO_END])
        stage.probes[0].load_state_dict(load_trained(folder, DETACHED).probe.state_dict())
        train(
            stage,
            replace(preset.loops[END_TO_END], batch=8, rate=1e-3, steps=options.end_to_end, threads=threads),
            folder,
        )


def baselines(
    bundle: Bundle, workshop: Workshop, options: argparse.Namespace
) -> tuple[dict[str, Contender], dict[str, Any]]:
    """Deep ensemble and MC dropout, and how they were made."""
    members = [load_file(workshop.folder / f"ensemble-{member}.safetensors") for member in range(MEMBERS)]
    stage = ProbeStage(workshop, PROBES[STAGES[0]])
    familiar = _known_clips(stage, "calibration", options.calibrating)
    stage.clips = stage.held_out
    development = _known_clips(stage, "development", options.calibrating // 2)
    return spread_contenders(bundle, members, familiar, development, _say)


def _known_clips(stage: ProbeStage, purpose: str, count: int) -> Known:
    pairs = [stage.judged_clips(PART, draw_for(0, purpose, index)) for index in range(count // PART)]
    return Known([imagined for imagined, _ in pairs], [future for _, future in pairs])


def _clips(bundle: Bundle, root: Path, count: int) -> Judged:
    footage = Footage(bundle, root, "val")
    options = Options(quick=True, clips=count)
    return imagine_clips(bundle, footage, footage.spread(count), options, _say, f"imagining: {root.name}")


def cost_of_plans(bundle: Bundle, judge_of: Callable[[str], Contender], rounds: int) -> dict[str, Any]:
    """CPU seconds of a whole plan with each judge as the planner's uncertainty model, the planners taking turns."""
    featured: Any = FeaturedVideoModel.of(bundle)
    planners = {}
    for name in TIMED:
        judge: Any = bundle.uncertainty if name == HEAD else judge_of(name).judge
        model = bundle.world_model if name == HEAD else featured
        changed = replace(bundle, world_model=model, uncertainty=judge)
        planners[name] = build_planner(changed, PlannerConfig().never_uncertain())  # black pictures are unfamiliar
    seconds: dict[str, list[float]] = {name: [] for name in planners}
    videos = []
    for number in range(rounds + 1):
        for name, planner in planners.items():
            _say(f"plans with {name}", number / (rounds + 1))
            begun = time.process_time()
            planner.plan(blank_request(bundle, number), Context("timing", "timing"))
            if number:
                seconds[name].append(time.process_time() - begun)
        videos.append(_squbed_seconds(bundle))
    median = {name: round(statistics.median(values), 4) for name, values in seconds.items()}
    median["S-QUBED, videos of one instruction"] = round(statistics.median(videos), 4)
    return {
        "cpu_seconds": median,
        "ratio": {name: round(value / median[HEAD], 3) for name, value in median.items()},
        "plans": rounds,
        "threads": torch.get_num_threads(),
    }


@torch.no_grad()
def _squbed_seconds(bundle: Bundle) -> float:
    """CPU seconds of the videos that S-QUBED asks for of one instruction, each in one step."""
    spec = bundle.config
    frame = (spec.denoiser.latent_channels, spec.denoiser.rows, spec.denoiser.columns)
    past, ahead = len(spec.history_offsets), spec.horizon
    given = torch.zeros(VIDEOS, past, *frame), torch.zeros(VIDEOS, past, 7), torch.zeros(VIDEOS, ahead, 7)
    begun = time.process_time()
    for _ in range(REFINEMENTS):
        bundle.world_model.imagine(*given, steps=1)
    return time.process_time() - begun


def _kept_training(stage: str) -> bool:
    return stage in PROBES or stage.startswith("ensemble-")


def _say(what: str, share: float) -> None:
    if share == 0:
        print(what, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="work folder with finished stages")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="recording it was trained on")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where figures and pictures go")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--evaluation", type=Path, default=Path("data/evaluation/full"), metavar="DIR", help="recordings (%(default)s)"
    )
    parser.add_argument(
        "--ood", nargs="+", default=["light", "camera", "stranger"], metavar="NAME", help="unfamiliar ones"
    )
    parser.add_argument("--clips", type=int, default=256, metavar="N", help="of each recording (%(default)s)")
    parser.add_argument("--calibrating", type=int, default=192, metavar="N", help="training clips (%(default)s)")
    parser.add_argument("--plans", type=int, default=7, metavar="N", help="timed plans of each judge (%(default)s)")
    parser.add_argument(
        "--steps", type=int, default=220, metavar="N", help="training steps of the probes (%(default)s)"
    )
    parser.add_argument("--minutes", type=float, metavar="M", help="train the probes for this long instead")
    parser.add_argument("--end-to-end", type=int, default=100, metavar="N", help="steps of that probe (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (%(default)s)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
