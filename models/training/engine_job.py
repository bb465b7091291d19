"""What `vidplan train` does with a list of stages: say the plan, skip what is finished, run the rest in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from models.training.assemble import assemble
from models.training.config import LoopConfig, Preset
from models.training.engine_folder import Standing, WorkFolder
from models.training.engine_processes import Processes
from models.training.latents import cache_latents
from models.training.loop import train
from models.training.names import foundations
from models.training.semantic_stage import SemanticStage
from models.training.stages import make_stage
from models.training.workshop import Workshop


def run_stages(stages: Sequence[str], data: Path, out: Path, preset: Preset, processes: Processes) -> None:
    """Run stages in order; the first process prints the plan and the figures.

    Raises:
        TrainingError: A stage cannot run.
        StoppedError: SIGINT or SIGTERM came.
    """
    workshop, folder = Workshop(data, out, preset), WorkFolder(out, preset)
    if processes.first:
        print(f"{', '.join(stages)} with preset {preset.name}: {data} -> {out}, on {_where(processes)}")
        for stage in stages:
            print(f"  {stage:<12} {_plan(stage, folder)}", flush=True)
    if SemanticStage.name in stages and folder.standing(SemanticStage.name) is not Standing.FINISHED:
        workshop.require_labels("semantic reward")  # before other stages take their hours
    for stage in stages:
        if stage in preset.loops:
            _train(stage, workshop, folder, processes)
        else:
            if processes.first:
                _run_untrained(stage, workshop)
            processes.wait()


def _train(stage: str, workshop: Workshop, folder: WorkFolder, processes: Processes) -> None:
    for other in foundations(stage):
        workshop.report(other)
    with processes.first_goes_first():
        standing = folder.standing(stage)
        if standing is Standing.FINISHED:
            if processes.first:
                print(f"{stage}: {_finished(stage, folder)}")
            return
        if processes.first:
            folder.begin(stage)
            print(f"{stage}: {_budget(folder.preset.loops[stage])}, {standing.value}", flush=True)
            _count_episodes(workshop)
        made = make_stage(stage, workshop)
    report = train(made, workshop.preset.loops[stage], workshop.folder, processes=processes)
    if processes.first:
        print("\n".join(f"  {key}: {value}" for key, value in report["held_out"].items()), flush=True)


def _run_untrained(stage: str, workshop: Workshop) -> None:
    torch.set_num_threads(next(iter(workshop.preset.loops.values())).threads)
    _count_episodes(workshop)
    if stage == "latents":
        weights = workshop.weights_hash("autoencoder")
        for data in (workshop.training, workshop.held_out):
            cache_latents(workshop.autoencoder(), weights, data, workshop.latents)
    else:
        print(f"bundle written to {assemble(workshop)}")


def _plan(stage: str, folder: WorkFolder) -> str:
    if stage == "latents":
        return "encodes the frames that are not encoded yet"
    if stage == "bundle":
        return f"writes {folder.path / 'bundle'}"
    standing = folder.standing(stage)
    if standing is Standing.FINISHED:
        return _finished(stage, folder)
    return f"{_budget(folder.preset.loops[stage])}, {standing.value}"


def _finished(stage: str, folder: WorkFolder) -> str:
    steps = (folder.report(stage) or {}).get("steps")
    return f"finished ({steps} steps); to train it again, delete {folder.path / stage}.*"


def _budget(config: LoopConfig) -> str:
    length = f"{config.steps} steps" if config.steps is not None else f"{config.minutes:g} minutes"
    return f"{length} of {config.batch} rows"


def _where(processes: Processes) -> str:
    share = processes.share
    return f"{share.device}" if share.count == 1 else f"{share.count} processes ({share.device.type})"


def _count_episodes(workshop: Workshop) -> None:
    for data in (workshop.training, workshop.held_out):
        print(data.summary(details=True), file=sys.stderr)
