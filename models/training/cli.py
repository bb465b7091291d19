"""`vidplan train`: make the models of a bundle, stage by stage."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.training.config import Preset
    from models.training.engine_processes import Processes


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code: 130 after Ctrl-C or SIGTERM."""
    options = _parser().parse_args(argv)

    from models.errors import ModelsError
    from models.training.engine_job import run_stages
    from models.training.engine_processes import join
    from models.training.engine_signals import StoppedError, terminate_as_interrupt
    from models.training.names import ADAPTER

    processes: Processes | None = None
    try:
        with terminate_as_interrupt():
            stages = _stages(options)
            preset = resolve(options, stages)
            processes = join(next(iter(preset.loops.values())).device)
            if options.stage == ADAPTER:
                from models.training.adapter_stage import train_adapter

                train_adapter(options.data, options.out, preset.loops[ADAPTER], processes)
                return 0
            run_stages(stages, options.data, options.out, preset, processes)
    except (StoppedError, KeyboardInterrupt) as stop:
        text = str(stop) or "interrupted; finished steps are saved, and the same command goes on from there"
        _say(f"vidplan train: {text}", processes)
        return 130
    except ModelsError as error:
        _say(f"vidplan train: {error}", processes)
        return 1
    return 0


def resolve(options: argparse.Namespace, stages: tuple[str, ...]) -> Preset:
    """The preset with everything the command line changes.

    Raises:
        TrainingError: A setting does not exist or does not fit.
    """
    from models.errors import TrainingError
    from models.training.config import PRESETS, with_probes
    from models.training.engine_settings import apply_settings
    from models.training.names import ADAPTER, PROBES

    preset = PRESETS[options.preset]
    preset = with_probes(preset) if PROBES.keys() & stages else preset
    if ADAPTER in stages:
        from models.training.adapter_stage import LOOP

        preset = dataclasses.replace(preset, loops={ADAPTER: LOOP})
    changes = {name: getattr(options, name) for name in ("seed", "threads", "device")}
    changes = {name: value for name, value in changes.items() if value is not None}
    if options.minutes is not None or options.steps is not None:
        changes |= {"minutes": options.minutes, "steps": options.steps}
    try:
        loops = {name: dataclasses.replace(loop, **changes) for name, loop in preset.loops.items()}
    except ValueError as error:
        raise TrainingError(f"--{error}") from error
    trained = [stage for stage in stages if stage in loops]
    return apply_settings(dataclasses.replace(preset, loops=loops), options.set, trained)


def _stages(options: argparse.Namespace) -> tuple[str, ...]:
    from models.training.names import PROBE_VARIANTS, STAGES, ProbeKind

    if options.stage == "probe":
        variants = PROBE_VARIANTS if options.variant == "all" else (options.variant,)
        return tuple(ProbeKind(name, options.loss, options.eps, options.end_to_end).stage for name in variants)
    return STAGES if options.stage == "all" else (options.stage,)


def _parser() -> argparse.ArgumentParser:
    from models.training.names import ADAPTER, PRESET_NAMES, PROBE_SCALES, PROBE_SCORES, PROBE_VARIANTS, STAGES

    parser = argparse.ArgumentParser(
        prog="vidplan train",
        description="Train one stage of a bundle, or all of them in order. Every stage shows its loss and time left, "
        "can be interrupted or killed and started again, and leaves its held-out figures in OUT/STAGE.json. What is "
        "finished is not done again. Curves and sample videos: tensorboard --logdir OUT/tensorboard",
    )
    parser.add_argument(
        "stage",
        choices=[*STAGES, "probe", ADAPTER, "all"],
        help="stages up to `bundle` need those to their left, `probe` needs `heads`, `adapter` none",
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="recorded episodes (vidplan sim record; DROID episodes for `adapter`)"
    )
    parser.add_argument("--out", type=Path, required=True, help="work folder; `bundle` puts the bundle into OUT/bundle")
    parser.add_argument(
        "--preset", choices=PRESET_NAMES, default="tabletop", help="sizes and budgets (default: tabletop)"
    )
    probe = parser.add_argument_group("probe", "one of C3's probes on a finished flow map, no part of `all`")
    probe.add_argument(
        "--variant",
        choices=(*PROBE_VARIANTS, "all"),
        default="continuous",
        help="what it answers; all: one of each, in turn (default: %(default)s)",
    )
    probe.add_argument("--loss", choices=PROBE_SCORES, default="bce", help="proper score (default: %(default)s)")
    probe.add_argument(
        "--eps",
        type=float,
        choices=PROBE_SCALES,
        default=PROBE_SCALES[0],
        help="scale of a fixed one (default: %(default)s)",
    )
    probe.add_argument("--end-to-end", action="store_true", help="go on training the flow map with it (an ablation)")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="wall-clock budget of each stage, instead of steps")
    budget.add_argument("--steps", type=int, help="steps of each stage (default: the preset's); exactly reproducible")
    parser.add_argument("--seed", type=int, help="seed of every draw (default: 0)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: 2)")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), help="auto: the GPU if there is one (default: auto)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other setting, e.g. --set batch=32 --set rate=5e-4 --set loops.heads.decay=0 --set widths=64,128; "
        "a wrong name lists those there are",
    )
    return parser


def _say(text: str, processes: Processes | None) -> None:
    if processes is None or processes.first:
        print(text, file=sys.stderr)
