"""`vidplan bridge`: run the node between a robot and a planner server."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

DESCRIPTION = """\
The ROS 2 node between a robot and the planner server.

It brings three cameras and the joint states together, asks the planner for the next second of motion while the present
one is executed, guards every command, and publishes joint trajectories (with a braking tail: the arm stops by itself
when this program dies) and gripper commands. When the planner is gone the arm stops and holds within 0.3 s, and goes on
by itself when the planner is back.

Simulation:    vidplan sim  |  vidplan serve --bundle models/bundles/tabletop  |
               vidplan bridge --instruction "put the carrot in the bowl" --use-sim-time
Real robot:    start with --dry-run: everything is computed, guarded and recorded, nothing is sent.
               A software stop (Ctrl-C, /vidplan/stop) does not replace the emergency stop in your hand.

Every option is also a ROS parameter of the same name (with _): ... --ros-args --params-file bridge.yaml
"""
# The options most people need; the others follow in groups of their own.
COMMON = (
    "instruction",
    "server",
    "robot",
    "robot_id",
    "backend",
    "gripper",
    "cameras",
    "autostart",
    "use_sim_time",
    "dry_run",
    "record",
    "duration",
    "seed",
    "frames_wanted",
)


def parser() -> argparse.ArgumentParser:
    """The command line, made from the settings' own help and ranges."""
    from robot_bridge.config import BridgeConfig

    command = argparse.ArgumentParser(
        prog="vidplan bridge", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common = command.add_argument_group("what to do")
    limits = command.add_argument_group("topics, rates and limits (defaults suit a Franka in the DROID set-up)")
    common.add_argument("--json", action="store_true", help="print events as JSON, one per line, and the summary last")
    for item in fields(BridgeConfig):
        group = common if item.name in COMMON else limits
        option = "--" + item.name.replace("_", "-")
        default: Any = item.default
        text = item.metadata["help"]
        if "low" in item.metadata:
            unit = f" {item.metadata['unit']}" if item.metadata.get("unit") else ""
            text += f" (default {_shown(default)}{unit}, {item.metadata['low']:g} .. {item.metadata['high']:g})"
        elif isinstance(default, str) and default:
            text += f" (default {default})"
        choices = item.metadata.get("choices")
        if choices:
            group.add_argument(option, dest=item.name, choices=choices, metavar="NAME", help=text)
        elif default is True:
            text += " (default; --no-... otherwise)"
            group.add_argument(option, dest=item.name, action=argparse.BooleanOptionalAction, default=None, help=text)
        elif default is False:
            group.add_argument(option, dest=item.name, action="store_true", default=None, help=text)
        elif isinstance(default, tuple) and isinstance(default[0], str):
            group.add_argument(option, dest=item.name, nargs="+", metavar="ROLE=TOPIC", help=text)
        elif isinstance(default, tuple):
            group.add_argument(option, dest=item.name, nargs=3, type=float, metavar=("X", "Y", "Z"), help=text)
        else:
            metavar = "TEXT" if isinstance(default, str) else "N"
            group.add_argument(option, dest=item.name, type=type(default), metavar=metavar, help=text)
    return command


def _shown(value: Any) -> str:
    return " ".join(f"{entry:g}" for entry in value) if isinstance(value, tuple) else f"{value:g}"


def main(argv: Sequence[str]) -> int:
    """Run the bridge until its duration is over or it is interrupted; exit code 0 when it ended as asked."""
    own, ros_arguments = _split(list(argv))
    given = parser().parse_args(own)
    from plan_protocol.errors import ProtocolError
    from robot_bridge.config import BridgeConfig
    from robot_bridge.errors import BridgeError

    values = {name: value for name, value in vars(given).items() if value is not None and name != "json"}
    try:
        return _run(BridgeConfig.from_mapping(values), ros_arguments, given.json)
    except (BridgeError, ProtocolError) as error:
        print(f"vidplan bridge: {error}", file=sys.stderr)
        return 1


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Own arguments, and the ROS ones after ``--ros-args``."""
    if "--ros-args" not in argv:
        return argv, []
    at = argv.index("--ros-args")
    return argv[:at], argv[at:]


def _run(config: Any, ros_arguments: list[str], as_json: bool) -> int:
    try:
        from robot_bridge.ros.node import BridgeNode
    except ModuleNotFoundError as error:
        print(
            f"vidplan bridge: {error.name} is missing: source a ROS 2 installation, or install the wheels with "
            "`make install`; `vidplan doctor` says more.",
            file=sys.stderr,
        )
        return 1

    from robot_bridge.children import abandoned

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    node = BridgeNode(config, on_event=_printer(as_json), ros_arguments=ros_arguments)
    try:
        node.start()
        while not (ended.wait(0.05) or node.done.is_set()):
            if abandoned():
                print("the program that started this bridge is gone: stopping", file=sys.stderr)
                break
    finally:
        summary = node.close()
    if node.failure:
        raise node.failure
    if as_json:
        return 0
    plans, latency = summary["plans"], summary["median_plan_ms"]
    print(f"{plans} plans in {summary['seconds']:.1f} s" + (f", median {latency:.0f} ms" if latency else ""))
    for reason, count in sorted(summary["rejected"].items()):
        print(f"  refused {count:4d} x {reason}")
    return 0


def _printer(as_json: bool) -> Any:
    import json

    from robot_bridge.events import in_words

    def show(event: dict[str, Any]) -> None:
        line = json.dumps(event) if as_json else in_words(event)
        if line:
            print(line, flush=True)

    return show


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
