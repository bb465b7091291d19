"""`vidplan distill`: an imported Ctrl-World becomes a flow map (Algorithm 2), and gets its heads."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.ctrl_world.flow_map_stage import CtrlWorldFlowMapStage
    from models.ctrl_world.heads_stage import CtrlWorldHeadsStage
    from models.training.config import LoopConfig

BATCHES = {"flow-map": 24, "heads": 8}
RATES = {"flow-map": 5e-6, "heads": 1e-4}
SAVE_EVERY = 1800.0
"""Seconds between checkpoints, 24 GB for the flow map: weights, their average, two moments, single precision."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(argv)

    from models.ctrl_world import require_full
    from models.errors import ModelsError

    try:
        require_full()
        return _train(options)
    except ModelsError as error:
        print(f"vidplan distill: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidplan distill",
        description="Make an imported Ctrl-World fit for planning: `flow-map` fine-tunes it by progressive "
        "self-distillation, `heads` trains its uncertainty and return heads. Both read precomputed latents. An "
        "interrupted run goes on where it stopped; `accelerate launch -m vidplan distill ...` shares the batch among "
        "GPUs.",
    )
    parser.add_argument("stage", choices=["flow-map", "heads"], help="flow-map first, then heads")
    parser.add_argument("--bundle", type=Path, required=True, help="made by `vidplan bundle import`, or by `flow-map`")
    parser.add_argument("--data", type=Path, required=True, help="episodes with latents (docs/real-footage.md)")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, curves, and OUT/bundle at the end")
    parser.add_argument("--cache", type=Path, help="where their latents are cached on disk (default: DATA/.cache)")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, default=60.0, help="wall-clock budget (default: 60)")
    budget.add_argument("--steps", type=int, help="steps instead: exactly reproducible")
    parser.add_argument("--batch", type=int, help="clips per step (default: 24, the paper's 16 + 8; 8 for heads)")
    parser.add_argument("--rate", type=float, help="learning rate (default: 5e-6, the paper's; 1e-4 for heads)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw (default: 0)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto: the GPU if there is one (default: auto)",
    )
    parser.add_argument(
        "--fsdp", action="store_true", help="flow-map: processes share weights and moments, too, not just the batch"
    )
    return parser


def _train(options: argparse.Namespace) -> int:
    from models.errors import BundleError, TrainingError
    from models.training.engine_processes import join
    from models.training.engine_signals import StoppedError
    from models.training.loop import train

    result = options.out / "bundle"
    if result.exists():
        raise BundleError(f"{result} is there already; choose another --out")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"--out {options.out} cannot be written: {error.strerror}") from error
    processes = join(options.device, options.fsdp)
    config = _loop(options, processes.share.device.type == "cuda")
    stage = _stage(options)
    for footage in (stage.training, stage.held_out):
        print(footage.episodes.summary(), file=sys.stderr)
    try:
        train(stage, config, options.out, processes=processes)
    except StoppedError as stop:
        print(f"vidplan distill: {stop}", file=sys.stderr)
        return 130
    if processes.first:
        _write_bundle(options, stage, result)
        print(f"written to {result}")
    return 0


def _loop(options: argparse.Namespace, half: bool) -> LoopConfig:
    from models.errors import TrainingError
    from models.training.config import LoopConfig

    try:
        return LoopConfig(
            batch=BATCHES[options.stage] if options.batch is None else options.batch,
            rate=RATES[options.stage] if options.rate is None else options.rate,
            minutes=None if options.steps is not None else options.minutes,
            steps=options.steps,
            seed=options.seed,
            threads=options.threads,
            half=half,
            device=options.device,
            save_every=SAVE_EVERY,
        )
    except ValueError as error:  # it names the setting, whose option has its name
        raise TrainingError(f"--{error}") from error


def _stage(options: argparse.Namespace) -> CtrlWorldFlowMapStage | CtrlWorldHeadsStage:
    if options.stage == "heads":
        from models.ctrl_world.heads_stage import CtrlWorldHeadsStage

        return CtrlWorldHeadsStage(options.bundle, options.data, options.seed, options.cache)
    from models.ctrl_world.flow_map_stage import CtrlWorldFlowMapStage

    return CtrlWorldFlowMapStage(options.bundle, options.data, options.cache)


def _write_bundle(options: argparse.Namespace, stage: Any, out: Path) -> None:
    """The bundle with the new weights. Heads belong to the world model they were trained with."""
    from dataclasses import replace

    from models.ctrl_world.bundle import save_heads
    from models.ctrl_world.bundle_config import bundle_hash, read_config, write_config

    heads = ("uncertainty.safetensors", "value.safetensors")
    shutil.copytree(options.bundle, out, ignore=shutil.ignore_patterns(*heads))
    config = replace(read_config(options.bundle), uncertainty=None, value=None)
    made_from = {**config.made_from, f"{options.stage}_trained_from": bundle_hash(options.bundle)}
    if options.stage == "flow-map":
        shutil.copy(options.out / f"{stage.name}.safetensors", out / "denoiser.safetensors")
        made_from["second_time"] = "trained"
    write_config(out, replace(config, made_from=made_from))
    if options.stage == "heads":
        save_heads(out, stage.uncertainty, stage.value)
