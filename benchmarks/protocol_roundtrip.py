"""Round trip of three 192x320x3 frames and the robot's state, no model: ours against openpi's WebSocket protocol.

    python benchmarks/protocol_roundtrip.py

Each side is a client process and a server process on loopback; blocks of requests alternate between the two, so that
whatever else the machine does hits both. The first run makes an environment for `openpi-client` in `work/`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from plan_protocol.client import PlanClient
from plan_protocol.messages import CameraSpec, Candidate, Hello, Observation, Plan, PlannerSpec, PlanRequest
from plan_protocol.server import PlanServer

HERE = Path(__file__).resolve().parent
PEER_ENVIRONMENT = HERE.parent / "work" / "openpi-client"
HEIGHT, WIDTH, HORIZON = 192, 320, 5
SPEC = PlannerSpec(
    model_name="none",
    model_hash="",
    cameras=tuple(CameraSpec(name, HEIGHT, WIDTH) for name in ("left", "right", "wrist")),
    history_offsets=(0,),
    frame_period=0.2,
    horizon=HORIZON,
    max_committed=8,
    robots=("panda",),
    workspace_lower=(0.2, -0.5, 0.0),
    workspace_upper=(0.8, 0.5, 0.7),
    max_linear_speed=0.25,
    max_angular_speed=1.0,
    plan_latency=0.0,
)


def run_server() -> None:
    poses = np.zeros((HORIZON, 7))
    candidate = Candidate("none", poses, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0)

    def planner(request: PlanRequest, _) -> Plan:
        stamp = request.observation_stamp
        times = stamp + 0.2 * np.arange(1, HORIZON + 1)
        return Plan(stamp, times, poses, (candidate,), 0, False, (0.0, 0.0), 0.0)

    server = PlanServer("tcp://127.0.0.1:*", SPEC, planner)
    print(server.address, flush=True)
    server.serve_forever()


def run_client(address: str) -> None:
    """Read a number of requests per line, answer with the milliseconds of each."""
    images = np.random.default_rng(0).integers(0, 256, (1, 3, HEIGHT, WIDTH, 3), np.uint8)
    with PlanClient(address, "benchmark") as client:
        client.hello(Hello("panda", "benchmark"))
        for line in sys.stdin:
            times = []
            for i in range(int(line)):
                begun = time.perf_counter()
                observation = Observation(images, np.array([float(i)]), np.zeros((1, 7)), np.zeros(7))
                request = PlanRequest("put the carrot in the bowl", observation, np.zeros((0, 7)), np.zeros(7), 10.0)
                client.plan(request, 10.0)
                times.append(1e3 * (time.perf_counter() - begun))
            print(json.dumps(times), flush=True)


class Side:
    """A server process and a client process that measures when asked."""

    def __init__(self, python: Path | str, script: Path) -> None:
        def start(*arguments: str) -> subprocess.Popen:
            command = [str(python), str(script), *arguments]
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        self.server = start("serve")
        self.client = start("client", self.server.stdout.readline().strip())
        self.measure(50)  # warm up

    def measure(self, requests: int) -> list[float]:
        self.client.stdin.write(f"{requests}\n")
        self.client.stdin.flush()
        return json.loads(self.client.stdout.readline())

    def close(self) -> None:
        for process in (self.client, self.server):
            process.kill()
            process.wait()


def peer_python() -> Path:
    """The Python of openpi-client's environment, made on first use."""
    python = PEER_ENVIRONMENT / "bin" / "python"
    if not (PEER_ENVIRONMENT / "ready").exists():
        print(f"making an environment for openpi-client in {PEER_ENVIRONMENT} ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEER_ENVIRONMENT)], check=True)
        # openpi-client imports typing_extensions without saying so.
        packages = ["openpi-client", "websockets>=13", "typing-extensions"]
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        (PEER_ENVIRONMENT / "ready").touch()
    return python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=150, help="blocks per side, alternating (default 150)")
    parser.add_argument("--requests", type=int, default=20, help="requests per block (default 20)")
    arguments = parser.parse_args()
    sides = {}
    times: dict[str, list[float]] = {"ours": [], "openpi": []}
    try:
        sides["openpi"] = Side(peer_python(), HERE / "openpi_peer.py")
        sides["ours"] = Side(sys.executable, Path(__file__))
        for _ in range(arguments.blocks):
            for name in times:
                times[name] += sides[name].measure(arguments.requests)
    finally:
        for side in sides.values():
            side.close()
    print(f"{arguments.blocks * arguments.requests} round trips each, milliseconds:")
    for name, values in times.items():
        p5, median, p95 = np.percentile(values, [5, 50, 95])
        print(f"  {name:<7} median {median:.3f}   p5 {p5:.3f}   p95 {p95:.3f}")
    ratio = float(np.median(times["ours"]) / np.median(times["openpi"]))
    print(f"  ours / openpi at the median: {ratio:.2f}")
    return 0 if ratio <= 1.0 else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        run_server()
    elif sys.argv[1:2] == ["client"]:
        run_client(sys.argv[2])
    else:
        raise SystemExit(main())
