"""`vidplan train`: make the models of a bundle, stage by stage."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    from models.training.names import PRESET_NAMES, STAGES

    parser = argparse.ArgumentParser(
        prog="vidplan train",
        description="Train one stage of a bundle, or all of them in order. Every stage shows its loss and time left, "
        "can be interrupted and started again, and leaves its held-out figures in OUT/STAGE.json.",
    )
    parser.add_argument("stage", choices=[*STAGES, "all"], help="stages need those to their left")
    parser.add_argument("--data", type=Path, required=True, help="recorded episodes (vidplan sim record)")
    parser.add_argument("--out", type=Path, required=True, help="work folder; `bundle` puts the bundle into OUT/bundle")
    parser.add_argument("--preset", choices=PRESET_NAMES, default="tabletop", help="sizes and budgets")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="wall-clock budget of the stage (default: the preset's)")
    budget.add_argument("--steps", type=int, help="steps of the stage instead: exactly reproducible")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    options = parser.parse_args(argv)

    from models.errors import ModelsError
    from models.training.config import PRESETS
    from models.training.workshop import Workshop

    preset = PRESETS[options.preset]
    loops = {}
    for name, loop in preset.loops.items():
        settings = dataclasses.replace(loop, seed=options.seed, threads=options.threads)
        if options.minutes is not None or options.steps is not None:
            settings = dataclasses.replace(settings, minutes=options.minutes, steps=options.steps)
        loops[name] = settings
    workshop = Workshop(options.data, options.out, dataclasses.replace(preset, loops=loops))
    try:
        for stage in STAGES if options.stage == "all" else (options.stage,):
            run_stage(stage, workshop)
    except ModelsError as error:
        print(f"vidplan train: {error}", file=sys.stderr)
        return 1
    return 0


def run_stage(name: str, workshop) -> None:
    """Run one stage and print its held-out figures."""
    import torch

    from models.training.assemble import assemble
    from models.training.latents import cache_latents
    from models.training.loop import train
    from models.training.stages import make_stage

    loops = workshop.preset.loops
    torch.set_num_threads(next(iter(loops.values())).threads)
    for data in (workshop.training, workshop.held_out):
        for episode, reason in data.skipped.items():
            print(f"skipped {data.split}/{episode}: {reason}", file=sys.stderr)
    if name == "latents":
        weights = workshop.weights_hash("autoencoder")
        for data in (workshop.training, workshop.held_out):
            cache_latents(workshop.autoencoder(), weights, data, workshop.latents)
    elif name == "bundle":
        print(f"bundle written to {assemble(workshop)}")
    else:
        report = train(make_stage(name, workshop), loops[name], workshop.folder)
        print("\n".join(f"  {key}: {value}" for key, value in report["held_out"].items()))
