"""`vidplan trials`: closed-loop trials of several methods on the paper's tasks in the simulated cell."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robot_bridge.experiment.run import Experiment

DESCRIPTION = """\
Run closed-loop trials in the simulated cell: the planner server, the bridge and the cell as they run with a robot.
Every method gets the same initial states. Each trial is one row of the store, written when it starts and when it ends;
interrupt at any time, the same command goes on. Afterwards report.html and report.json are in --out.

  vidplan trials --tasks tape,fish,pea,carrot,towel --methods nominal,vidplan --episodes 20 --seed 0 --out runs/table1

What follows -- goes to every `vidplan serve`, e.g. -- --device cuda --bundle DIR.
"""
DEFAULTS = {"episodes": (20, 2), "seconds": (60.0, 15.0), "suite": ("table1", "quick")}
"""Without and with --quick."""
CORES_PER_WORKER = 2


def main(argv: list[str]) -> int:
    """Run `vidplan trials`; 0 when every trial was run, 130 when it was interrupted."""
    at = argv.index("--") if "--" in argv else len(argv)
    arguments = _parser().parse_args(argv[:at])
    from robot_bridge.errors import BridgeError
    from robot_bridge.trials.report import table_line

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        experiment = _experiment(arguments, tuple(argv[at + 1 :]))
        content = experiment.run()
    except BridgeError as error:
        print(f"vidplan trials: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vidplan trials: interrupted; the same command goes on where it stopped.", file=sys.stderr)
        return 130
    for row in content["table"]:
        print(table_line(row))
    print(f"report: {experiment.out / 'report.html'}")
    if failed := sum(row["errors"] for row in content["table"]):
        print(f"vidplan trials: {failed} trials ended in an error; the same command runs them again.", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    from robot_bridge.experiment.methods import METHODS
    from robot_bridge.experiment.tasks import TASKS

    parser = argparse.ArgumentParser(
        prog="vidplan trials", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what, how = parser.add_argument_group("what to run"), parser.add_argument_group("how")
    for name, known in (("tasks", TASKS), ("methods", METHODS)):
        names = ",".join(entry.name for entry in known)
        what.add_argument(f"--{name}", type=_names, default=names, metavar="A,B", help="which (default: %(default)s)")
    what.add_argument("--episodes", type=_positive, metavar="N", help="trials per task and method (default: 20)")
    what.add_argument(
        "--seed", type=_whole, default=0, metavar="N", help="first initial state, then N+1 ... (default: 0)"
    )
    what.add_argument("--seconds", type=_number, metavar="S", help="longest trial, on the robot's clock (default: 60)")
    what.add_argument(
        "--policy",
        default="",
        metavar="WHERE",
        help="policy of the methods that want one: ws://HOST:PORT of a running server, or a policy.safetensors to be "
        "served (default: the shipped one)",
    )
    what.add_argument(
        "--quick", action="store_true", help="2 trials of 15 s of each, suite 'quick': does everything run? No result"
    )
    how.add_argument(
        "--out",
        type=Path,
        default=Path("runs/trials"),
        metavar="DIR",
        help="folder for the report (default: %(default)s)",
    )
    how.add_argument(
        "--store", type=Path, metavar="FILE", help="store; recordings go beside it (default: OUT/trials.db)"
    )
    how.add_argument(
        "--suite", type=_name, metavar="NAME", help="series the trials belong to; never pooled (default: table1)"
    )
    how.add_argument(
        "--workers",
        type=_positive,
        default=max(1, (os.cpu_count() or 1) // CORES_PER_WORKER),
        metavar="N",
        help="trials at a time, each with its own cell and planner "
        f"(default: one per {CORES_PER_WORKER} cores, here %(default)s)",
    )
    how.add_argument(
        "--real-time-factor",
        type=_number,
        default=0.25,
        metavar="X",
        help="speed of the robot's clock; a slow one gives a slow planner time to react (default: %(default)s)",
    )
    how.add_argument(
        "--keep-pictures",
        action="store_true",
        help="keep every picture and imagination, 100 MB a minute, not only the film",
    )
    return parser


def _experiment(arguments: argparse.Namespace, serve: tuple[str, ...]) -> Experiment:
    from robot_bridge.experiment.methods import methods_named
    from robot_bridge.experiment.run import Experiment
    from robot_bridge.experiment.schedule import all_jobs
    from robot_bridge.experiment.station import Settings
    from robot_bridge.experiment.tasks import tasks_named

    for name, (usual, quick) in DEFAULTS.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, quick if arguments.quick else usual)
    methods, tasks = methods_named(arguments.methods), tasks_named(arguments.tasks)
    seeds = range(arguments.seed, arguments.seed + arguments.episodes)
    return Experiment(
        tuple(all_jobs(arguments.suite, methods, tasks, seeds)),
        arguments.store or arguments.out / "trials.db",
        arguments.out,
        arguments.suite,
        Settings(arguments.seconds, arguments.real_time_factor, arguments.policy, serve),
        arguments.workers,
        arguments.keep_pictures,
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise argparse.ArgumentTypeError(f"'{text}': letters, digits, - and _ only; it names a folder")
    return text


def _positive(text: str) -> int:
    if _whole(text) == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return int(text)


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 on")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above 0")
    return value
