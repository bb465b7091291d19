"""`vidplan sim`: run the simulated cell as a ROS 2 node, record episodes from it, or ask it what would happen."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sim_cell.errors import SimCellError

if TYPE_CHECKING:
    from sim_cell.recipe import Recipe

LOOKS = ("plain", "varied", "stranger", "light", "camera")
TASKS = ("tape", "fish", "pea", "carrot", "towel")
BEHAVIOURS = ("pick", "chunks", "mixed")


def main(argv: list[str]) -> int:
    """Run `vidplan sim ...` and return its exit code."""
    try:
        command = {"record": _record, "what-if": _what_if}.get(argv[0] if argv else "")
        return command(argv[1:]) if command else _run_node(argv)
    except SimCellError as error:
        print(f"vidplan sim: {error}", file=sys.stderr)
        return 1


def _record(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vidplan sim record",
        description="Record episodes of the simulated cell in the layout of the published DROID episodes, with true "
        "segmentation beside them. Interrupt it at any time; the same command goes on where it stopped.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("data/tabletop"), help="folder to record to (default: %(default)s)"
    )
    parser.add_argument(
        "--episodes", type=_positive, default=700, help="episodes in all, of up to 9 s (default: %(default)s)"
    )
    parser.add_argument("--minutes", type=float, help="start no new episode after this time")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same episodes (default: %(default)s)"
    )
    parser.add_argument(
        "--look",
        choices=LOOKS,
        default="varied",
        help="how the cells look, see docs/sim-cell.md (default: %(default)s)",
    )
    parser.add_argument("--frames", type=_positive, default=45, help="most frames of an episode (default: %(default)s)")
    parser.add_argument(
        "--objects",
        metavar="A,B,...",
        help="the only objects on the tables, episodes are about them in turn (default: all)",
    )
    parser.add_argument(
        "--clutter", metavar="N[-M]", type=_span, help="objects on the table beside bowl and target (default: 2-4)"
    )
    parser.add_argument(
        "--behaviour", choices=BEHAVIOURS, help="what the arm does, see docs/sim-cell.md (default: all in turn)"
    )
    parser.add_argument("--successes", action="store_true", help="try failed episodes again until they succeed")
    parser.add_argument("--held-out", action="store_true", help="put all episodes, not every tenth, into the split val")
    parser.add_argument(
        "--workers", type=_positive, default=2, help="processes; one per core is good (default: %(default)s)"
    )
    _add_size(parser)
    arguments = parser.parse_args(argv)

    from sim_cell.dataset import Dataset
    from sim_cell.recorder import record_dataset

    size = arguments.width, arguments.height
    dataset = Dataset(arguments.out, arguments.seed, *size, arguments.look, arguments.held_out, _recipe(arguments))
    summary = record_dataset(dataset, arguments.episodes, arguments.workers, arguments.minutes, arguments.frames)
    rate = summary.frames / summary.seconds
    print(
        f"{summary.written} episodes written to {arguments.out} ({summary.skipped} were there already): "
        f"{summary.frames} frames, {summary.successes} episodes succeed, {summary.seconds:.0f} s, {rate:.1f} frames/s"
    )
    return 0


def _recipe(arguments: argparse.Namespace) -> Recipe:
    from sim_cell.recipe import Recipe

    recipe = Recipe(behaviour=arguments.behaviour, successes=arguments.successes)
    if arguments.clutter:
        recipe = replace(recipe, count=(arguments.clutter[0] + 1, arguments.clutter[1] + 1))
    if arguments.objects:
        recipe = replace(recipe, objects=tuple(name.strip() for name in arguments.objects.split(",")))
    return recipe


def _what_if(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vidplan sim what-if",
        description="Answer what truly happens under each of many chunks of motion from one state of the cell: JSON "
        "lines in and out, arrays in .npz files. The format is described in sim_cell/what_if.py.",
    )
    parser.add_argument("--folder", type=Path, required=True, help="where the answers' arrays are put")
    _add_size(parser)
    arguments = parser.parse_args(argv)

    from sim_cell.what_if import WhatIf, serve

    serve(WhatIf(arguments.width, arguments.height), arguments.folder, sys.stdin, sys.stdout)
    return 0


def _run_node(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="vidplan sim",
        description="Run the simulated DROID cell as a ROS 2 node: the topics of a stock franka_ros2 arm, a Robotiq "
        "gripper and three ZED cameras, and /clock. `vidplan sim record --help`: record training episodes instead. "
        "`vidplan sim what-if --help`: the true outcomes of many chunks of motion.",
        epilog="docs/sim-cell.md lists the topics. Stop it with Ctrl-C.",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="scene: the same seed gives the same one (default: %(default)s)"
    )
    scene = parser.add_mutually_exclusive_group()
    scene.add_argument("--target", help="object that must be on the table (default: drawn from the seed)")
    scene.add_argument("--task", choices=TASKS, help="cluttered scene of a task, see docs/sim-cell.md")
    parser.add_argument(
        "--robot", choices=("panda", "fr3"), default="panda", help="joint names and limits (default: %(default)s)"
    )
    parser.add_argument(
        "--real-time-factor",
        type=float,
        default=1.0,
        help="speed of the robot's clock against the wall clock (default: %(default)s)",
    )
    parser.add_argument("--camera-rate", type=int, choices=(5, 10, 15, 30), default=5, help="Hz (default: %(default)s)")
    _add_size(parser)
    arguments = parser.parse_args(argv)
    if arguments.real_time_factor <= 0:
        parser.error("--real-time-factor must be positive")

    from robot_model.franka import franka
    from sim_cell.cell import Cell
    from sim_cell.live import LiveCell
    from sim_cell.node import run_node
    from sim_cell.tasks import task_called

    live = LiveCell(Cell(arguments.width, arguments.height), franka(arguments.robot), arguments.seed, arguments.target)
    if arguments.task:
        live.reset_to_task(task_called(arguments.task), arguments.seed)
    run_node(live, arguments.camera_rate, arguments.real_time_factor, arguments.target)
    return 0


def _add_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--width", type=_even, default=160, help="of each view, pixels (default: %(default)s)")
    parser.add_argument("--height", type=_even, default=96, help="of each view, pixels (default: %(default)s)")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _span(text: str) -> tuple[int, int]:
    fewest, dash, most = text.partition("-")
    try:
        return int(fewest), int(most if dash else fewest)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is neither a number nor a range such as 0-2") from None


def _even(text: str) -> int:
    value = _positive(text)
    if value % 2:
        raise argparse.ArgumentTypeError("must be even (video encoding needs it)")
    return value
