"""`vidplan doctor`: the parts in order, their lines, the exit code."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path

from robot_bridge.doctor.cameras import cameras
from robot_bridge.doctor.check import MISSING, SKIPPED, Cell, Check
from robot_bridge.doctor.gpu import gpu
from robot_bridge.doctor.machine import machine, realtime, time_service
from robot_bridge.doctor.packages import packages
from robot_bridge.doctor.robot import robot
from robot_bridge.doctor.ros import ros
from robot_bridge.doctor.server import server
from robot_bridge.listening.look import Look

PARTS: dict[str, Callable[[Cell], Iterator[Check]]] = {
    "machine": machine,
    "packages": packages,
    "gpu": gpu,
    "ros": ros,
    "clock": time_service,
    "realtime": realtime,
    "cameras": cameras,
    "robot": robot,
    "server": server,
}


def main(argv: list[str]) -> int:
    """Run `vidplan doctor`; 0 when nothing is missing."""
    arguments = _parser().parse_args(argv)
    from robot_bridge.errors import BridgeError

    try:
        cell = _cell(arguments)
    except BridgeError as error:
        print(f"vidplan doctor: {error}")
        return 1
    asked = arguments.part or []
    checks = list(examine(cell, asked or PARTS))
    bad = [check for check in checks if check.state == MISSING or (asked and check.state == SKIPPED)]
    if arguments.json:
        print(json.dumps({"ok": not bad, "checks": [asdict(check) for check in checks]}))
        return int(bool(bad))
    for check in checks:
        print(f"{check.state:<8} {check.name:<18} {check.found}")
        if check.advice:
            print(f"{'':<27} -> {check.advice}")
    print(f"\nto mend: {', '.join(check.name for check in bad)}" if bad else "\nnothing is missing")
    return int(bool(bad))


def examine(cell: Cell, parts: Iterable[str]) -> Iterator[Check]:
    """All checks of the parts; one that fails in an unforeseen way says so instead of ending the others."""
    for part in parts:
        try:
            yield from PARTS[part](cell)
        except Exception as error:
            yield Check(part, MISSING, f"check failed: {error!r}", "please report this")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidplan doctor",
        description="Check this machine and, where a cell is running, the cell: packages, ROS and DDS discovery, "
        "clocks, cameras (rate, size, order by picture), arm (URDF, joints, controller), planner server, keys, GPU, "
        "kernel. It only listens; nothing moves.",
        epilog="Exit code 0 when nothing is missing. What cannot be looked at from here is 'skipped' and counts only "
        "where its part was asked for with --part.",
    )
    parser.add_argument("--part", action="append", choices=tuple(PARTS), help="only this part; may be repeated")
    parser.add_argument("--robot", default="panda", help="arm model: panda or fr3 (default: %(default)s)")
    parser.add_argument("--cameras", nargs="+", metavar="ROLE=TOPIC", help="as for `vidplan bridge`")
    for option in ("--joint-topic", "--backend", "--gripper", "--arm-command-topic", "--driver-namespace"):
        parser.add_argument(option, metavar="NAME", help="as for `vidplan bridge`")
    parser.add_argument("--server", metavar="ADDRESS", help="planner server (default: tcp://127.0.0.1:5555)")
    parser.add_argument("--curve-keys", metavar="DIR", help="this robot's keys")
    parser.add_argument("--use-sim-time", action="store_true", help="the robot's clock is /clock")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="how long to listen to the cell (default: %(default)s)"
    )
    parser.add_argument(
        "--pictures",
        type=Path,
        default=Path(tempfile.gettempdir()) / "vidplan-cameras.png",
        metavar="FILE",
        help="where the cameras' pictures go (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    return parser


def _cell(arguments: argparse.Namespace) -> Cell:
    from robot_bridge.config import BridgeConfig

    settings = {item.name for item in fields(BridgeConfig)} & vars(arguments).keys()
    config = BridgeConfig.from_mapping({name: value for name in settings if (value := getattr(arguments, name))})

    def listen(topics: Iterable[str], seconds: float) -> Look:
        from robot_bridge.listening.ros_edge import listen as really

        return really(list(topics), seconds, config.use_sim_time)

    def controllers() -> dict[str, str] | None:
        from robot_bridge.listening.ros_edge import controllers as really

        return really("/".join(filter(None, ["", config.driver_namespace.strip("/"), "controller_manager"])))

    if find_spec("rclpy") is None:
        return Cell(config, arguments.seconds, arguments.pictures)
    return Cell(config, arguments.seconds, arguments.pictures, listen, controllers)
