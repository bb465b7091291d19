"""`vidplan distill`: fine-tune an imported Ctrl-World into a flow map (Algorithm 2)."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

SAVE_EVERY = 1800.0
"""Seconds between checkpoints, which are 24 GB: weights, their average, and two moments, single precision."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(argv)

    from models.ctrl_world import require_full
    from models.errors import ModelsError

    try:
        require_full()
        return _distill(options)
    except ModelsError as error:
        print(f"vidplan distill: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidplan distill",
        description="Fine-tune an imported Ctrl-World into a flow map by progressive self-distillation, on precomputed "
        "latents. An interrupted run goes on where it stopped; `accelerate launch -m vidplan distill ...` shares the "
        "batch among GPUs.",
    )
    parser.add_argument("--bundle", type=Path, required=True, help="made by `vidplan bundle import ctrl-world`")
    parser.add_argument("--data", type=Path, required=True, help="episodes with latents (docs/real-footage.md)")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, curves, and OUT/bundle at the end")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, default=60.0, help="wall-clock budget (default: 60)")
    budget.add_argument("--steps", type=int, help="steps instead: exactly reproducible")
    parser.add_argument("--batch", type=int, default=24, help="clips per step, split 2:1 (default: the paper's 16 + 8)")
    parser.add_argument("--rate", type=float, default=5e-6, help="learning rate (default: the paper's)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    return parser


def _distill(options: argparse.Namespace) -> int:
    from models.ctrl_world.flow_map_stage import CtrlWorldFlowMapStage
    from models.errors import BundleError
    from models.training.config import LoopConfig
    from models.training.engine_processes import join
    from models.training.engine_signals import StoppedError
    from models.training.loop import train

    result = options.out / "bundle"
    if result.exists():
        raise BundleError(f"{result} is there already; choose another --out")
    config = LoopConfig(
        batch=options.batch,
        rate=options.rate,
        minutes=None if options.steps is not None else options.minutes,
        steps=options.steps,
        seed=options.seed,
        threads=options.threads,
        device=options.device,
        save_every=SAVE_EVERY,
    )
    processes = join(options.device)
    stage = CtrlWorldFlowMapStage(options.bundle, options.data)
    for footage in (stage.training, stage.held_out):
        print(footage.episodes.summary(), file=sys.stderr)
    try:
        train(stage, config, options.out, processes=processes)
    except StoppedError as stop:
        print(f"vidplan distill: {stop}", file=sys.stderr)
        return 130
    if processes.first:
        _write_bundle(options.bundle, options.out / f"{stage.name}.safetensors", result)
        print(f"written to {result}; its heads have to be trained anew")
    return 0


def _write_bundle(source: Path, weights: Path, out: Path) -> None:
    """The bundle with the new weights and without heads, which belong to the old ones."""
    from dataclasses import replace

    from models.ctrl_world.bundle_config import bundle_hash, read_config, write_config

    left = ("denoiser.safetensors", "uncertainty.safetensors", "value.safetensors")
    shutil.copytree(source, out, ignore=shutil.ignore_patterns(*left))
    shutil.copy(weights, out / "denoiser.safetensors")
    config = read_config(source)
    made_from = {**config.made_from, "second_time": "trained", "distilled_from": bundle_hash(source)}
    write_config(out, replace(config, uncertainty=None, value=None, made_from=made_from))
