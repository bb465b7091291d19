"""A made-up planner for tests with a real protocol server."""

from __future__ import annotations

import socket
import time
from dataclasses import replace

import numpy as np
from cell_fakes import make_plan, straight

from plan_protocol.messages import Imagination


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


class Sway:
    """A planner that moves forth and back, and closes the gripper on its third plan."""

    def __init__(self) -> None:
        self.count = 0
        self.seeds: list[int] = []

    def __call__(self, request, context):
        time.sleep(0.1)
        self.count += 1
        self.seeds.append(request.seed)
        step = np.array([0.02 if self.count % 2 else -0.02, 0, 0, 0, 0, 0, 0])
        poses = straight(request, step)
        poses[:, 6] = 1.0 if self.count >= 3 else 0.0
        plan = make_plan(request, poses)
        if not request.frames_wanted:
            return plan
        frames = np.full((len(poses), 3, 12, 20, 3), 90, np.uint8)
        return replace(plan, imagination=Imagination(frames, frames, np.zeros((len(poses), 3, 3, 5), np.float32)))
