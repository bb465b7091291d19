"""A protocol server in a process of its own, whose faults are asked for in the words of the task.

    python faulty_server.py tcp://127.0.0.1:5555

``sway``: good plans, forth and back. ``slow S``, ``late S``: good plans, each S seconds of wall clock later. ``twice``:
every answer twice, and the one before once more. ``jump``, ``nan``, ``other observation``, ``short``: plans with that
fault. ``garbage``: bytes that are no message, then the plan without its end, then whole.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from cell_fakes import SPEC, make_plan, straight

from plan_protocol import codec
from plan_protocol.server import PlanServer

STEP = np.array([0.04, 0.0, -0.02, 0.0, 0.0, 0.1, 0.0])
TURN = (0.05, 0.15)
"""Metres from where a robot was at first, at which it turns forth again and back; plans not followed change nothing."""


class FaultyServer(PlanServer):
    """Misbehaves behind the checks that a server makes of its own plans."""

    def __init__(self, address: str) -> None:
        super().__init__(address, SPEC, self._sway)
        self._first: dict[str, float] = {}
        self._forth: dict[str, bool] = {}
        self._before: list | None = None

    def _sway(self, request, context):
        time.sleep(0.02)
        fault, _, seconds = request.instruction.partition(" ")
        if fault in ("slow", "late"):
            time.sleep(float(seconds))
        return make_plan(request, straight(request, STEP if self._goes_forth(context.robot_id, request) else -STEP))

    def _goes_forth(self, robot, request):
        x = (request.committed if len(request.committed) else request.observation.poses)[-1, 0]
        gone = x - self._first.setdefault(robot, x)
        self._forth[robot] = gone < TURN[1] if self._forth.get(robot, True) else gone < TURN[0]
        return self._forth[robot]

    def _answer(self, job):
        fault = job.envelope.open(job.frames).instruction
        frames = super()._answer(job)
        if fault == "twice":
            for extra in (self._before, frames):
                if extra:
                    self._mailbox.put(extra)
        elif fault == "garbage":
            self._mailbox.put([job.peer, b"\xff\x00 no header", b"no body"])
            self._mailbox.put([*frames[:-1], b""])
        elif fault in WRONG:
            plan = codec.read_header(frames[1]).open(frames[2:])
            frames = [job.peer, *codec.encode(WRONG[fault](plan), self._reply_header(job.header))]
        self._before = frames
        return frames


def _with(poses: np.ndarray, row: int, change: np.ndarray | float) -> np.ndarray:
    poses = poses.copy()
    poses[row:] += change
    return poses


WRONG = {
    "jump": lambda plan: replace(plan, poses=_with(plan.poses, 2, np.array([0.3, 0, 0, 0, 0, 0, 0]))),
    "nan": lambda plan: replace(plan, poses=_with(plan.poses, 3, np.nan)),
    "other observation": lambda plan: replace(plan, observation_stamp=plan.observation_stamp - 0.2),
    "short": lambda plan: replace(plan, poses=plan.poses[:2], times=plan.times[:2]),
}


class ServerProcess:
    """The server as a child process, to be killed, frozen and thawed."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._process = subprocess.Popen([sys.executable, __file__, address])

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Stop it in its tracks: its connections stay open."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self._process.pid, signal.SIGCONT)


if __name__ == "__main__":
    FaultyServer(sys.argv[1]).serve_forever()
