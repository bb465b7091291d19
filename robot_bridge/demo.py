"""`vidplan demo`: simulated cell, planner and bridge as three processes, watched by a fourth, and a report."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from robot_bridge.children import Child, ChildError
from robot_bridge.errors import BridgeError
from robot_bridge.experiment.conduct import SETTLED

BUDGET = 330.0
"""Seconds of wall clock after which a run is ended whatever the robot's clock says; the report follows."""
SERVER_START, SIM_START, BRIDGE_START = 200.0, 120.0, 60.0
RESTARTS = 3


def main(argv: list[str]) -> int:
    """Run `vidplan demo`; 0 when plans were made and executed, whatever became of the task."""
    arguments = _parser().parse_args(argv)
    try:
        return _demo(arguments)
    except BridgeError as error:
        print(f"\nvidplan demo: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidplan demo",
        description="Watch a robot imagine, choose and act: starts the simulated cell, the planner and the bridge, "
        "gives the instruction, and writes a video, a summary and a page that opens in any browser.",
        epilog="Exit code 0 when the loop ran (plans were made and executed). Whether the task was done is reported as "
        "it was. A planner that dies is started again; the arm holds until it is back.",
    )
    parser.add_argument("--instruction", default="put the carrot in the bowl", help="the task (default: '%(default)s')")
    parser.add_argument("--out", type=Path, help="folder for the run (default: runs/<time>)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=40.0,
        help="longest run, on the robot's clock; it ends earlier once the task is done (default: 40)",
    )
    parser.add_argument("--seed", type=int, default=0, help="scene, and the planner's random draws (default: 0)")
    parser.add_argument("--bundle", type=Path, help="models of the planner (default: the shipped ones)")
    parser.add_argument(
        "--real-time-factor",
        type=float,
        default=0.25,
        help="speed of the robot's clock; a slow one gives a slow planner time to react (default: 0.25)",
    )
    parser.add_argument("--keep", action="store_true", help="leave cell and planner running afterwards, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON at the end")
    return parser


def _demo(arguments: argparse.Namespace) -> int:
    from robot_bridge.isolation import isolate
    from robot_bridge.report.make import make_report

    out = arguments.out or Path("runs") / datetime.now().strftime("%Y-%m-%d_%H%M%S")
    if (out / "events.jsonl").exists():
        raise BridgeError(f"{out} holds a run already; choose another --out or remove it.")
    out.mkdir(parents=True, exist_ok=True)
    domain = isolate()
    demo = Demo(arguments, out)
    notes: list[str] = []
    try:
        demo.start()
        demo.watch()
    except (BridgeError, KeyboardInterrupt) as error:
        notes.append(str(error) or "interrupted")
        print(f"\nvidplan demo: {notes[-1]}", file=sys.stderr)
    finally:
        outcome = demo.finish(keep=arguments.keep and not notes)
    print("\nwriting the report ...")
    summary = make_report(out, {**outcome, "notes": notes + demo.notes})
    _tell(summary, out, arguments.json)
    if demo.children:
        _stay(demo, domain)
    return 0 if summary["plans"] > summary["plans_refused"] and summary["commands_sent"] and not notes else 1


class Demo:
    """The three processes and the person who watches them.

    Attributes:
        children: Running commands by name.
        notes: Things the report should mention.
    """

    def __init__(self, arguments: argparse.Namespace, out: Path):
        from robot_bridge.onlooker import Onlooker

        self.arguments, self.out = arguments, out
        self.children: dict[str, Child] = {}
        self.notes: list[str] = []
        self.onlooker = Onlooker(out / "truth.jsonl")
        self._began = time.monotonic()
        self._restarts = 0
        self._address = f"tcp://127.0.0.1:{_free_port()}"
        self._ears: Any = None

    def start(self) -> None:
        """Start cell and planner, wait until both are ready, then start the bridge."""
        from robot_bridge.onlooker import goal_object

        given = self.arguments
        print(f"'{given.instruction}'\n  starting the cell and the planner (loading the models) ...", flush=True)
        self._start("serve", self._serve_options())
        goal = goal_object(given.instruction)
        options = ["--seed", str(given.seed), "--real-time-factor", str(given.real_time_factor)]
        self._start("sim", [*options, *(["--target", goal] if goal else [])])
        self.children["sim"].wait_for(r"simulated cell is up.*", SIM_START)
        self.children["serve"].wait_for(r"^ready", SERVER_START, self.children["sim"].check)
        said = self.children["serve"].wait_for(r"^planner\s+(.*)", 1.0)
        print(f"  planner ready: {said.group(1)}", flush=True)
        self._ears = _Ears(self.onlooker)
        self._start(
            "bridge",
            ["--instruction", given.instruction, "--server", self._address, "--use-sim-time", "--record", str(self.out)]
            + ["--seed", str(given.seed)],
        )  # fmt: skip

    def watch(self) -> None:
        """Print what happens until the task is done, the seconds are over on the robot's clock, or the budget is."""
        bridge, deadline = self.children["bridge"], time.monotonic() + BRIDGE_START
        while self.onlooker.lasted < self.arguments.seconds and self.onlooker.done_for < SETTLED:
            self._listen(0.1)
            bridge.check()
            self._look_after_the_others()
            now = time.monotonic()
            if not self._ears.heard_anything and now > deadline:
                raise ChildError(f"'vidplan bridge' said nothing for {BRIDGE_START:.0f} s.{bridge.last_words()}")
            if now - self._began > BUDGET:
                self.notes.append(
                    f"Ended after {BUDGET:.0f} s of wall clock, before the robot's clock had gone that far."
                )
                print(f"  {self.notes[-1]}")
                break
        bridge.stop()
        self._listen(0.5)

    def _listen(self, seconds: float) -> None:
        for line in self._ears.listen(seconds):
            print(line, flush=True)

    def finish(self, keep: bool) -> dict[str, Any]:
        """Stop everything (the bridge first; cell and planner stay where ``keep``); returns how the task went."""
        for name in ("bridge", "sim", "serve"):
            if name in self.children and (name == "bridge" or not keep):
                self.children.pop(name).stop()
        if self._ears is not None:
            self._ears.close()
        self.onlooker.close()
        commands = self.out / "commands.jsonl"
        sent = sum('"sent": true' in line for line in commands.open()) if commands.exists() else 0
        return {"instruction": self.arguments.instruction, **self.onlooker.outcome(), "commands_sent": sent}

    def _serve_options(self) -> list[str]:
        bundle = self.arguments.bundle
        return ["--address", self._address, "--threads", "1", *(["--bundle", str(bundle)] if bundle else [])]

    def _start(self, name: str, options: list[str]) -> None:
        self.children[name] = Child(name, options, self.out / "logs" / f"{name}.log")

    def _look_after_the_others(self) -> None:
        """A dead cell ends the demo; a dead planner is named and started again, the bridge copes meanwhile."""
        self.children["sim"].check()
        server = self.children["serve"]
        if server.alive or self._restarts >= RESTARTS:
            return
        self._restarts += 1
        code = server.process.returncode
        self.notes.append(f"The planner server ended with code {code} in the middle of the run and was started again.")
        print(f"  'vidplan serve' ended with code {code}; starting it again.{server.last_words()}", flush=True)
        self._start("serve", self._serve_options())


class _Ears:
    """Hears the bridge's events and the simulator's truth."""

    def __init__(self, onlooker: Any):
        import rclpy
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.node import Node
        from rclpy.qos import DurabilityPolicy, QoSProfile
        from rclpy.signals import SignalHandlerOptions
        from std_msgs.msg import String

        from robot_model.ros_names import SIM_TRUTH, STATUS

        self.heard_anything = False
        self._lines: list[str] = []
        self._onlooker = onlooker
        self._context = Context()
        rclpy.init(context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("vidplan_demo", context=self._context)
        late = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._node.create_subscription(String, STATUS, self._status, late)
        self._node.create_subscription(String, SIM_TRUTH, self._sim_truth, 10)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

    def listen(self, seconds: float) -> list[str]:
        """Lines for the terminal that came up within ``seconds``."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)
        lines, self._lines = self._lines, []
        return lines

    def close(self) -> None:
        """Leave ROS."""
        import rclpy

        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _sim_truth(self, message: Any) -> None:
        self._onlooker.see_truth(message.data)

    def _status(self, message: Any) -> None:
        self.heard_anything = True
        line = self._onlooker.hear(message.data)
        if line:
            self._lines.append(line)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tell(summary: dict[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    distance = summary["final_distance"]
    print(f"  task: {'DONE' if summary['success'] else 'not done'}", end="")
    print("" if distance is None else f" (gripper {100 * distance:.1f} cm from the {summary['target']} at the end)")
    print(f"  first object touched: {summary['first_object'] or 'none'}")
    median = summary["median_plan_ms"]
    print(f"  {summary['plans']} plans in {summary['seconds']:.0f} s", end="")
    print(f", {median:.0f} ms each (median); holds: {summary['holds']}" if median is not None else "")
    print(f"  report: {(out / 'report.html').resolve()}")


def _stay(demo: Demo, domain: int) -> None:
    print(f"  cell and planner still run in ROS_DOMAIN_ID={domain}; Ctrl-C ends them.")
    try:
        while all(child.alive for child in demo.children.values()):
            time.sleep(0.5)
    except KeyboardInterrupt:
        print()
    for child in demo.children.values():
        child.stop()
