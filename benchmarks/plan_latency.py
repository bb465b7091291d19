"""How long a plan takes with a full-size video model, where the time goes, and how much less that is than plainly done.

    python benchmarks/plan_latency.py --size reduced --device cpu                        # three minutes of one core
    python benchmarks/plan_latency.py --size full --device cuda --compile graphs --json plan.json

The planner is `planner_server.planner.Planner`; the bundle is Ctrl-World with random weights: the true size, or
``reduced`` to 32 channels and one small view. Every plan looks at new pictures, judges N candidates of H new frames and
refines the winner with K gradients; fingers and turns are not asked about, nothing is drawn for people.

In the same run the same planner does the same with a plain world model: diffusers' own U-Net in an eager loop, nothing
shared or remembered, all candidates as one batch (``batched``) or one after the other (``sequential``). The ways take
turns. On a processor time is this process's processor time, which other work on the machine does not lengthen; on a GPU
it is by the clock on the wall. Stages are by that clock always, and told as their share of the plan's time.

``tflops`` is what a plan truly computes (counted by PyTorch) per second; ``ceiling`` what large matrix products reach
on this machine. ``unet`` is the U-Net alone: the candidates' forward pass, and forward and backward of one chunk.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_size_bundle import random_bundle
from plan_bench import MOST_CANDIDATES, Bench, Pass, Task, passes
from plan_reference import reference
from stopwatch import counted, forget_peak, matmul_ceiling, peak_gib, timed

from models.errors import CompileError
from models.fast import MODES, compile_networks
from plan_protocol.messages import Plan

MANY_STEPS = 10
"""Plans of more steps are timed once."""
WAYS = ("batched", "sequential")
PARTS = {"candidates": "all candidates forward", "gradient": "one chunk forward and backward"}


def main(argv: list[str]) -> int:
    arguments = parser().parse_args(argv)
    if arguments.device == "cpu":
        torch.set_num_threads(arguments.threads)
        torch.set_flush_denormal(True)
    elif not torch.cuda.is_available():
        print("plan_latency: this machine has no GPU that PyTorch can use; --device cpu", file=sys.stderr)
        return 1
    if arguments.json and not arguments.json.resolve().parent.is_dir():
        print(f"plan_latency: --json {arguments.json}: there is no such folder", file=sys.stderr)
        return 1
    try:
        report = measure(arguments)
    except CompileError as error:
        print(f"plan_latency: --compile {arguments.compile}: {error}", file=sys.stderr)
        return 1
    print(table(report))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", choices=("reduced", "full"), default="reduced", help="(%(default)s)")
    options.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(%(default)s)")
    options.add_argument(
        "--candidates", type=int, choices=range(1, MOST_CANDIDATES + 1), default=8, metavar="N", help="(%(default)s)"
    )
    options.add_argument(
        "--horizon", type=positive, default=5, metavar="H", help="new frames; Ctrl-World has 4 (%(default)s)"
    )
    options.add_argument("--iterations", type=positive, default=5, metavar="K", help="gradients (%(default)s)")
    options.add_argument(
        "--steps",
        type=lambda text: tuple(positive(word) for word in text.split(",")),
        default="1,2,4,50",
        metavar="A,B",
        help="flow map steps, one row for each number (%(default)s)",
    )
    options.add_argument(
        "--gradients",
        choices=("last", "all"),
        default="last",
        help="through the last step of the flow map, or all; ours and plain alike (%(default)s)",
    )
    options.add_argument("--compile", choices=tuple(MODES), help="as `vidplan serve --compile`; ours alone")
    options.add_argument(
        "--repeats", type=positive, default=1, metavar="R", help="plans each way; medians (%(default)s)"
    )
    options.add_argument("--threads", type=positive, default=1, metavar="T", help="of a processor (%(default)s)")
    options.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    return options


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 on")
    return int(text)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything the table shows."""
    device = arguments.device
    say(f"{arguments.size} random weights on {device} ...")
    bundle = random_bundle(arguments.size, arguments.horizon, device)
    bundle.world_model.flow_map.last_step_only = arguments.gradients == "last"
    ours = Bench(bundle, Task(arguments.candidates, arguments.horizon, arguments.iterations, device))
    say("counting operations ...")
    flop, alone = work_of(ours), passes(ours)
    if arguments.compile:
        compile_networks(bundle.world_model, arguments.compile, device)
    peaks, first = {}, {}
    for steps in arguments.steps:  # these warm up, and the plain models take no memory yet
        say(f"{steps} step(s), alone ...")
        forget_peak(device)
        first[steps] = ours.plan(steps, 100 * steps)
        peaks[str(steps)] = peak_gib(device)
    ways = {"ours": ours, **{way: Bench(reference(bundle, way == "batched"), ours.task) for way in WAYS}}
    ceiling = matmul_ceiling(device)
    report: dict[str, Any] = {"machine": machine(arguments), "ceiling_tflops": ceiling, "peak_gib": peaks}
    if device == "cuda":
        for way in WAYS:
            ways[way].plan(1, 0)
    for steps in arguments.steps:
        measured = take_turns(ways, steps, arguments.repeats, first[steps])
        add(report, str(steps), flop(steps), *measured)
    say("the U-Net alone ...")
    report["unet"] = {name: alone_figures(part, ways, arguments.repeats, ceiling) for name, part in alone.items()}
    return report


def work_of(bench: Bench) -> Callable[[int], float]:
    """Floating point operations of a plan by its number of steps: the straight line through those of 1 and 2."""
    one, two = (counted(lambda steps=steps: bench.plan(steps, 0)) for steps in (1, 2))
    return lambda steps: one + (steps - 1) * (two - one)


def take_turns(
    ways: dict[str, Bench], steps: int, repeats: int, first: tuple[Plan, float]
) -> tuple[dict[str, float], dict[str, list[Plan]]]:
    """Median seconds and all plans of every way; in each round all see the same pictures, which are new to ours.

    Many steps have one round, and what ours took before is not measured again.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    plans: dict[str, list[Plan]] = {name: [] for name in ways}
    many = steps > MANY_STEPS
    for number in (0,) if many else range(1, 1 + repeats):
        say(f"{steps} step(s), in turns ...")
        for name, bench in ways.items():
            known = first if name == "ours" and many else None
            plan, took = known or bench.plan(steps, 100 * steps + number)
            seconds[name].append(took)
            plans[name].append(plan)
    return {name: float(np.median(values)) for name, values in seconds.items()}, plans


def add(report: dict[str, Any], key: str, flop: float, seconds: dict[str, float], plans: dict[str, list[Plan]]) -> None:
    """Put the figures of one number of steps into the report."""

    def put(value: float, *names: str) -> None:
        place = report
        for name in names:
            place = place.setdefault(name, {})
        place[key] = value

    put(seconds["ours"], "plan_seconds")
    put(flop / 1e12, "tflop")
    put(flop / 1e12 / seconds["ours"], "tflops")
    for stage in plans["ours"][0].timings:
        shares = [plan.timings[stage] / plan.timings["total"] for plan in plans["ours"]]
        put(1e3 * seconds["ours"] * float(np.median(shares)), "stages_ms", stage)
    for way in WAYS:
        put(seconds[way], "reference_seconds", way)
        put(seconds[way] / seconds["ours"], "ratio_to_reference", way)
        put(difference(plans["ours"][0], plans[way][0]), "largest_difference", way)


def difference(one: Plan, other: Plan) -> float:
    """Largest difference between two plans' rewards and poses; zero if numbers were exact."""
    rewards = [abs(a.reward - b.reward) for a, b in zip(one.candidates, other.candidates, strict=True)]
    return float(max(*rewards, np.abs(one.poses - other.poses).max()))


def alone_figures(part: Pass, ways: dict[str, Bench], repeats: int, ceiling: float) -> dict[str, Any]:
    """Time of the U-Net, ours and the plain one in turns."""
    seconds: dict[str, list[float]] = {"ours": [], "batched": []}
    for number in range(1 + repeats):
        for name, values in seconds.items():
            _, took = timed(ways[name].task.device, lambda name=name: part.run(ways[name].bundle))
            values += [took] if number else []
    mine, plain = (float(np.median(values)) for values in seconds.values())
    return {
        "rows": part.rows,
        "seconds": mine,
        "tflop": part.flop / 1e12,
        "tflops": part.flop / 1e12 / mine,
        "share_of_ceiling": part.flop / 1e12 / mine / ceiling,
        "ratio_to_reference": plain / mine,
    }


def machine(arguments: argparse.Namespace) -> dict[str, Any]:
    cuda = arguments.device == "cuda"
    return {
        "device": torch.cuda.get_device_name() if cuda else f"{platform.machine()} processor",
        "precision": "bfloat16" if cuda else "float32",
        "clock": "wall" if cuda else "processor time",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        **{name: getattr(arguments, name) for name in ("size", "candidates", "horizon", "iterations", "gradients")},
        "compile": arguments.compile or "no",
        "repeats": arguments.repeats,
    }


def table(report: dict[str, Any]) -> str:
    about = report["machine"]
    stages = [stage for stage in report["stages_ms"] if stage != "total"]
    cuda = about["clock"] == "wall"
    lines = [
        f"{about['device']}, {about['precision']}, {about['size']} size, torch {about['torch']}, compiled: "
        f"{about['compile']}; {about['candidates']} candidates x {about['horizon']} frames x {about['iterations']} "
        f"gradients through {'all steps' if about['gradients'] == 'all' else 'the last step'}",
        "",
        "| steps | plan [s] | x batched | x sequential | TFLOP | TFLOP/s | of ceiling | peak [GiB] | "
        + " | ".join(f"{stage} [ms]" for stage in stages)
        + " |",
        "|---" * (8 + len(stages)) + "|",
    ]
    for key, seconds in report["plan_seconds"].items():
        ratios = [f"{report['ratio_to_reference'][way][key]:.2f}" for way in WAYS]
        speed = report["tflops"][key]
        cells = [key, f"{seconds:.3f}", *ratios, f"{report['tflop'][key]:.3g}", f"{speed:.3g}"]
        cells += [f"{speed / report['ceiling_tflops']:.0%}", f"{report['peak_gib'][key]:.2f}"]
        cells += [f"{report['stages_ms'][stage][key]:.0f}" for stage in stages]
        lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        f"plan: seconds by {'the clock on the wall' if cuda else 'processor time'}, shared out among the stages",
        "x batched, x sequential: how many times as long the plain way took, all candidates at once or one by one",
        f"peak: {'tensors on the GPU' if cuda else 'the whole process'}",
        f"ceiling: matrix products reach {report['ceiling_tflops']:.3g} TFLOP/s in this run",
    ]
    for name, alone in report["unet"].items():
        lines.append(
            f"U-Net alone, {PARTS[name]} (batch {alone['rows']}): {alone['seconds']:.4f} s, {alone['tflops']:.3g} "
            f"TFLOP/s, {alone['share_of_ceiling']:.0%} of the ceiling; diffusers' own takes "
            f"{alone['ratio_to_reference']:.2f} times as long"
        )
    worst = max(value for way in report["largest_difference"].values() for value in way.values())
    lines.append(f"largest difference between a plan and the plain one (rewards, metres, rad): {worst:.1e}")
    return "\n".join(lines)


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
