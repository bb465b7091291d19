"""The bridge for as long as wanted: how evenly it commands, whether its memory grows, whether it ever comes too late.

    python benchmarks/bridge_soak.py [--minutes 30] [--rate 100] [--latency 0.4] [--realtime 10]

Three processes: the bridge's node, which is measured; a cell without physics on real ROS topics (three cameras, joint
states, an arm that follows what it is sent); a protocol server whose made-up planner keeps a core busy for its latency
and sways the arm. Command jitter is how far the time between two messages in a row is from the control period, as they
leave the bridge; a message of the arm at rest is not sent and not counted.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "robot_bridge")]

WARM_UP = 60.0
"""Seconds after which memory should not grow any more; of a shorter run, a third of it."""

CHUNKS = 4
"""Chunks in one direction before the arm turns round."""

PICTURE = (96, 160)
"""Rows and columns of the cameras' pictures."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=100.0, help="control rate, Hz (%(default)s)")
    parser.add_argument("--latency", type=float, default=0.4, help="seconds of work per plan (%(default)s)")
    parser.add_argument("--realtime", type=int, default=0, help="the bridge's realtime_priority (%(default)s)")
    parser.add_argument("--part", choices=("cell", "planner"), help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part == "cell":
        return cell()
    if given.part == "planner":
        return planner(given.address, given.latency)
    return soak(given)


def cell() -> int:
    """The robot, until its standard input ends."""
    import rclpy
    from ros_cell import RosCell

    rclpy.init()
    robot = RosCell(rclpy.get_default_context(), PICTURE)
    robot.trajectories, robot.events = deque(maxlen=1), deque(maxlen=1)
    sys.stdin.read()
    robot.close()
    rclpy.shutdown()
    return 0


def planner(address: str, latency: float) -> int:
    """The server, until its standard input ends."""
    from cell_fakes import SPEC, make_plan, straight

    from plan_protocol.server import PlanServer

    plans = 0

    def sway(request, context):
        nonlocal plans
        plans += 1
        end = time.perf_counter() + latency
        while time.perf_counter() < end:
            np.linalg.svd(np.ones((60, 60)))
        forth = (plans - 1) // CHUNKS % 2 == 0
        return make_plan(request, straight(request, np.array([0.02, 0, -0.01, 0, 0, 0.03, 0]) * (1 if forth else -1)))

    with PlanServer(address, SPEC, sway):
        sys.stdin.read()
    return 0


def soak(given: argparse.Namespace) -> int:
    """The bridge, measured."""
    from ros_planner import free_address

    from robot_bridge.isolation import isolate

    isolate()
    address = free_address()
    parts = [_part("planner", "--address", address, "--latency", str(given.latency)), _part("cell")]
    try:
        report = measure(given, address)
    finally:
        for part in parts:
            part.stdin.close()
            part.wait(20)
    print("\n".join(report))
    return 0


def _part(name: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, __file__, "--part", name, *arguments], stdin=subprocess.PIPE)


def measure(given: argparse.Namespace, address: str) -> list[str]:
    """Run the bridge and say how it went."""
    from robot_bridge.config import BridgeConfig
    from robot_bridge.ros.node import BridgeNode

    events: Counter[str] = Counter()
    ticks, sends = _Moments(), _Moments()

    class Measured(BridgeNode):
        def _tick(self) -> None:
            began = time.monotonic()
            super()._tick()
            ticks.add(began, time.monotonic())

    def hear(event: dict) -> None:
        name = event["event"]
        events[f"{name} {event['reason']}" if name in ("hold", "reject", "stop") else name] += 1

    settings = {"server": address, "instruction": "sway", "control_rate": given.rate, "robot_id": "soak"}
    config = BridgeConfig.from_mapping({**settings, "realtime_priority": given.realtime})
    node = Measured(config, on_event=hear)
    node.start()
    while not events["plan"]:
        time.sleep(0.1)
    arm = node.executor and node._stages.configured.arm
    send = arm.send

    def timed(motion) -> None:
        send(motion)
        sends.add(float(len(ticks)), time.monotonic())

    arm.send = timed
    memory = _watch_memory(60 * given.minutes)
    summary = node.close()
    return _report(given, summary, events, ticks.rows(), sends.rows(), memory)


class _Moments:
    """Pairs of numbers, kept compactly: what measures memory must not use it up."""

    def __init__(self) -> None:
        self._rows = np.zeros((1 << 20, 2))
        self._rows[:] = 0.0  # taken from the system now, not as it fills
        self._count = 0
        self._lock = threading.Lock()

    def add(self, first: float, second: float) -> None:
        with self._lock:
            if self._count < len(self._rows):
                self._rows[self._count] = first, second
                self._count += 1

    def __len__(self) -> int:
        return self._count

    def rows(self) -> np.ndarray:
        return self._rows[: self._count]


def _watch_memory(seconds: float) -> list[tuple[float, float, float]]:
    """``(seconds, MiB, load)`` once a second."""
    page, begun, seen = os.sysconf("SC_PAGE_SIZE"), time.monotonic(), []
    while (passed := time.monotonic() - begun) < seconds:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * page
        seen.append((passed, resident / 2**20, os.getloadavg()[0]))
        time.sleep(1.0)
    return seen


def _report(given, summary, events, ticks, sends, memory) -> list[str]:
    period = 1.0 / given.rate
    late = np.diff(ticks[:, 0]) - period
    work = ticks[:, 1] - ticks[:, 0]
    in_a_row = np.diff(sends[:, 0]) == 1
    jitter = np.abs(np.diff(sends[:, 1])[in_a_row] - period)
    seen = np.array(memory)
    settled = seen[:, 0] >= min(WARM_UP, seen[-1, 0] / 3)
    first, last = np.median(seen[settled][:10, 1]), np.median(seen[-10:, 1])
    used = resource.getrusage(resource.RUSAGE_SELF)
    return [
        f"{given.minutes:g} min at {given.rate:g} Hz: {summary['plans']} plans, median {summary['median_plan_ms']} ms, "
        f"{len(ticks)} ticks, {len(sends)} messages; load {seen[:, 2].mean():.1f} on {os.cpu_count()} cores, "
        f"bridge {100 * (used.ru_utime + used.ru_stime) / seen[-1, 0]:.0f} % of one",
        _line("command jitter", jitter),
        _line("tick late by", late),
        _line("work in a tick", work),
        f"memory {first:.1f} MiB -> {last:.1f} MiB after the first {min(WARM_UP, seen[-1, 0] / 3):.0f} s "
        f"({100 * (last / first - 1):+.1f} %)",
        f"watchdog: {events['hold control_late']} ticks so late that the arm had begun to stop, "
        f"{events['server_lost']} times no heartbeat of the planner",
        "events: " + ", ".join(f"{name} {count}" for name, count in sorted(events.items())),
    ]


def _line(name: str, seconds: np.ndarray) -> str:
    p50, p90, p99 = np.percentile(seconds, [50, 90, 99]) * 1e3
    return f"{name}: p50 {p50:.2f}, p90 {p90:.2f}, p99 {p99:.2f}, max {seconds.max() * 1e3:.1f} ms"


if __name__ == "__main__":
    raise SystemExit(main())
