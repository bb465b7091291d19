"""Seconds and memory of one optimisation step of the full-size flow map: Algorithm 2 on random weights and latents.

    python benchmarks/train_step.py --size reduced --device cpu
    python benchmarks/train_step.py --size full --device cuda --json step.json
    torchrun --nproc_per_node 4 benchmarks/train_step.py --size full --device cuda --fsdp

A step is that of `vidplan distill flow-map`, with its stage, optimiser and precision; the batch is the paper's 16 + 8.
The first step is timed apart: it fills the optimiser's moments and finds kernels. ``reduced`` is 32 channels and one
view of 64x64 pixels. Every process says what is true of itself; the first one's figures are printed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from full_size_bundle import full_config, reduced_config
from stopwatch import forget_peak, peak_gib, settle

from models.ctrl_world.cli import BATCHES, RATES
from models.ctrl_world.flow_map_stage import CtrlWorldFlowMapStage
from models.ctrl_world.video_model import CtrlWorldModel
from models.real.clips import ObservedClips
from models.training.config import LoopConfig
from models.training.engine_processes import join
from models.training.engine_run import Run

HORIZON = 4
FRAMES = 40
POSE = np.float32([0.48, 0.05, 0.35, 3.1, 0.02, -0.8, 0.3])


class RandomStage(CtrlWorldFlowMapStage):
    """The stage on random weights, and on noise in place of latents."""

    def __init__(self, size: str) -> None:
        config = full_config(HORIZON) if size == "full" else reduced_config(HORIZON)
        torch.manual_seed(0)
        self.model = CtrlWorldModel(config).requires_grad_(False)
        rng, (rows, columns) = np.random.default_rng(0), config.latent_size
        poses = POSE + 0.05 * rng.standard_normal((FRAMES, 7), np.float32)
        latents = rng.standard_normal((FRAMES, 4, rows * len(config.views), columns), np.float32)
        clips = ObservedClips([(0, FRAMES)], poses, latents, config.history_offsets, HORIZON)
        self.training: Any = SimpleNamespace(clips=clips, texts=[""])
        self.held_out = self.training
        self.module = self.model.denoiser.requires_grad_(True)
        self.module.checkpoint_activations()


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("train_step: this machine has no GPU that PyTorch can use; --device cpu", file=sys.stderr)
        return 1
    processes = join(arguments.device, arguments.fsdp)
    report = measure(arguments, processes)
    if processes.first:
        print(table(report))
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=("reduced", "full"), default="reduced", help="(%(default)s)")
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(%(default)s)")
    options.add_argument("--batch", type=int, default=BATCHES["flow-map"], metavar="B", help="clips (%(default)s)")
    options.add_argument("--steps", type=int, default=3, metavar="N", help="timed ones, after the first (%(default)s)")
    options.add_argument("--threads", type=int, default=1, metavar="T", help="of a processor (%(default)s)")
    options.add_argument("--fsdp", action="store_true", help="processes share weights and moments, too")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    return options


def measure(arguments: argparse.Namespace, processes: Any) -> dict[str, Any]:
    """Everything the table shows."""
    device = arguments.device
    torch.set_num_threads(arguments.threads)
    config = LoopConfig(
        batch=arguments.batch,
        rate=RATES["flow-map"],
        steps=1 + arguments.steps,
        threads=arguments.threads,
        half=device == "cuda",
        device=device,
    )
    stage = RandomStage(arguments.size)
    forget_peak(device)
    run = Run(stage, config, processes)
    seconds, losses = [], []
    for number in range(1 + arguments.steps):
        if processes.first:
            print(f"step {number + 1} ...", file=sys.stderr, flush=True)
        settle(device)
        begun = time.perf_counter()
        run.advance(lambda: False, lambda: False)
        settle(device)
        seconds.append(time.perf_counter() - begun)
        losses.append(run.scalars["loss"])
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else "processor",
        "precision": "bfloat16 autocast" if device == "cuda" else "float32",
        "size": arguments.size,
        "processes": processes.share.count,
        "fsdp": arguments.fsdp,
        "batch": arguments.batch,
        "parameters": sum(parameter.numel() for parameter in stage.module.parameters()),
        "first_seconds": seconds[0],
        "seconds": float(np.median(seconds[1:])),
        "peak_gib": peak_gib(device),
        "losses": losses,
    }


def table(report: dict[str, Any]) -> str:
    shared = f"{report['processes']} process(es){', sharing the weights' if report['fsdp'] else ''}"
    return (
        f"{report['device']}, {report['precision']}, {report['size']} size, {report['parameters'] / 1e6:.1f} M "
        f"parameters, batch {report['batch']}, {shared}\n"
        f"first step {report['first_seconds']:.2f} s, then {report['seconds']:.2f} s each (median, by the clock on the "
        f"wall); peak {report['peak_gib']:.2f} GiB; losses {', '.join(f'{loss:.4f}' for loss in report['losses'])}"
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
