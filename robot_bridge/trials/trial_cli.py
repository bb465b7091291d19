"""`vidplan trial`: walk an operator through labelled trials on the robot."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from robot_bridge.config import BridgeConfig
    from robot_bridge.trials.bag_runner import Recorder
    from robot_bridge.trials.bench import Bench
    from robot_bridge.trials.operator import Session, Task
    from robot_bridge.trials.runner import TrialRunner
    from robot_bridge.trials.store import TrialStore
    from robot_bridge.trials.trial import Trial

DESCRIPTION = """\
Walk an operator through trials of one task: checks first, then start, stop or abort by keyboard, then the labels.
Every trial is one row of the store, written when it starts, when it ends and with every answer.

With two methods each round is a blinded comparison: their order is drawn, and told when both are labelled.

  vidplan trial --store trials.db --task carrot --instruction "put the carrot in the bowl" \\
      --method "vidplan=--server tcp://gpu:5555" --method "pi05=--server tcp://gpu:5556" -- --robot fr3

What follows -- goes to `vidplan bridge` for every method. With --dry-run nothing is sent to the arm.
The keys here are no emergency stop: keep the user stop in your hand.
"""


def main(argv: list[str]) -> int:
    """Run `vidplan trial`; 0 when the session ended as the operator wanted."""
    at = argv.index("--") if "--" in argv else len(argv)
    arguments = _parser().parse_args(argv[:at])
    from robot_bridge.errors import BridgeError
    from robot_bridge.trials.operator import rounds
    from robot_bridge.trials.store import TrialStore

    try:
        with hangups_as_ctrl_c(), TrialStore(arguments.store) as store:
            session = _session(store, arguments, argv[at + 1 :])
            done = rounds(session, arguments.rounds, lambda trials: _make_reports(store, trials))
    except BridgeError as error:
        print(f"vidplan trial: {error}", file=sys.stderr)
        return 1
    except EOFError as error:
        print(f"\nvidplan trial: {error}; what was written is in {arguments.store}", file=sys.stderr)
        return 1
    print(f"{done} rounds. All of them: vidplan report --store {arguments.store}")
    return 0


@contextmanager
def hangups_as_ctrl_c() -> Iterator[None]:
    """A closed terminal and a kill end the session as Ctrl-C does: the arm is stopped and the row is written."""
    numbers = (signal.SIGHUP, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidplan trial", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True, metavar="FILE", help="trial store; made if missing")
    parser.add_argument("--task", required=True, metavar="NAME", help="short name of the task, e.g. carrot")
    parser.add_argument(
        "--instruction", type=_words, required=True, metavar="TEXT", help="the task in words, for all methods"
    )
    parser.add_argument(
        "--method",
        action="append",
        metavar="NAME[=OPTIONS]",
        help="a method and its own options of `vidplan bridge`; twice for a comparison (default: vidplan)",
    )
    parser.add_argument(
        "--suite", default="trials", metavar="NAME", help="series the trials belong to (default: %(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=120.0, metavar="S", help="longest trial (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=_count, default=0, metavar="N", help="end after so many (default: when you quit)"
    )
    parser.add_argument("--no-bag", action="store_true", help="record no MCAP bag of the trials")
    parser.add_argument("--in-distribution", action="store_true", help='mark the task "(ID)" in the report')
    return parser


def _words(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("say the task in words")
    return text.strip()


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is no number of rounds; 0: until you quit")
    return int(text)


def _session(store: TrialStore, arguments: argparse.Namespace, common: list[str]) -> Session:
    from robot_bridge.trials.console import Terminal
    from robot_bridge.trials.operator import Session, Task
    from robot_bridge.trials.preflight import DiskPreflight, Preflight, ServersPreflight
    from robot_bridge.trials.runner import BridgeRunner

    methods = _methods(arguments.method or ["vidplan"], [*common, "--duration", f"{arguments.seconds:g}"])
    configs = [_config(options) for options in methods.values()]
    sim_time = any(config.use_sim_time for config in configs)
    source = "sim" if sim_time else "real"
    task = Task(arguments.suite, arguments.task, arguments.instruction, source, arguments.in_distribution or None)
    bench = _bench(store.path.parent, task, configs[0], chosen="--cameras" in common)
    runners: dict[str, TrialRunner] = {
        name: BridgeRunner(options, late=lambda: bench.options) for name, options in methods.items()
    }
    if not arguments.no_bag:
        runners = {name: _recorded(runner, configs[0], bench) for name, runner in runners.items()}
    checks: list[Preflight] = [ServersPreflight(configs), DiskPreflight(store.path.parent), bench]
    return Session(store, task, runners, checks, Terminal(), bench=bench)


def _config(options: list[str]) -> BridgeConfig:
    """The bridge's settings, to find mistakes in them before anybody stands at the robot."""
    from robot_bridge.cli import parser
    from robot_bridge.config import BridgeConfig

    given = vars(parser().parse_args(options))
    return BridgeConfig.from_mapping(
        {name: value for name, value in given.items() if value not in (None, False) and name != "json"}
    )


def _bench(folder: Path, task: Task, config: BridgeConfig, chosen: bool) -> Bench:
    from robot_bridge.listening.look import Look
    from robot_bridge.trials.bench import Bench
    from robot_bridge.trials.operator import plain

    def listen(topics: Collection[str], seconds: float) -> Look:
        from robot_bridge.listening.ros_edge import listen as really

        return really(topics, seconds, config.use_sim_time, pictures_of_all=True)

    bench = Bench(config, folder, f"{plain(task.suite)}-{plain(task.name)}", listen)
    if not chosen:
        bench.recall()
    return bench


def _recorded(runner: TrialRunner, config: BridgeConfig, bench: Bench) -> TrialRunner:
    from robot_bridge.trials.bag_runner import RecordingRunner, recorded_topics

    def record(path: Path) -> Recorder:
        from robot_bridge.listening.ros_edge import BagRecorder

        now = replace(config, cameras=tuple(bench.options[1:]))
        return BagRecorder(path, recorded_topics(now), config.use_sim_time)

    return RecordingRunner(runner, record)


def _methods(given: list[str], common: list[str]) -> dict[str, list[str]]:
    from robot_bridge.errors import ConfigError

    methods = {name.strip(): [*common, *shlex.split(options)] for name, _, options in (g.partition("=") for g in given)}
    if len(methods) != len(given) or len(given) > 2:
        raise ConfigError("--method", "give one method, or two of different names to compare them.")
    return methods


def _make_reports(store: TrialStore, trials: list[Trial]) -> None:
    """Video and report of each run, while the operator resets the scene; one that fails ends no session."""
    from robot_bridge.errors import BridgeError
    from robot_bridge.report.make import make_report

    for trial in trials:
        run = store.path.parent / str(trial.setup.run)
        if (run / "events.jsonl").exists():
            labels = {"success": trial.labels.success, "first_object": trial.labels.first_object}
            try:
                make_report(run, labels)
            except BridgeError as error:
                print(f"  {error}", file=sys.stderr)
