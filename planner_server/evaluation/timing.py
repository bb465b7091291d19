"""How long a plan takes on this machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.bundle import Bundle
from plan_protocol.server import Context
from planner_server.config import PlannerConfig
from planner_server.planner import Planner
from planner_server.proposers.basis import BasisProposer
from planner_server.proposers.interfaces import Proposals, Situation
from planner_server.service import blank_request, build_planner
from robot_model.franka import franka
from robot_model.kinematics import ArmKinematics

STEPS = (0, 1, 4)
CANDIDATES, ITERATIONS = 8, 5


@dataclass(frozen=True)
class FirstEight:
    """The first eight candidates along the axes: the size of plan whose time is compared between machines."""

    basis: BasisProposer
    name: str = "basis"

    def propose(self, situation: Situation, rng: np.random.Generator) -> Proposals:
        """See `Proposer`."""
        offer = self.basis.propose(situation, rng)
        return replace(offer, proposals=offer.proposals[:CANDIDATES])

    def remember(self, robot_id: str, times: np.ndarray, poses: np.ndarray) -> None:
        """Nothing to remember."""

    def forget(self, robot_id: str) -> None:
        """Nothing to forget."""


def measure_plans(bundle: Bundle, plans: int, say: Callable[[str, float], None]) -> dict[str, Any]:
    """Median seconds of a plan (H as the bundle's, 5 iterations, 8 candidates) by flow map steps, on the CPU.

    The plans of different step counts alternate, so that whatever else the machine does hits all alike.

    Args:
        bundle: The models, on the CPU.
        plans: How many are timed per step count; one more warms up.
        say: Told what is done and the share of it that is.
    """
    request = replace(blank_request(bundle), committed=np.zeros((0, 7)))
    planners = {steps: _planner(bundle, steps) for steps in STEPS}
    timings: dict[int, list[dict[str, float]]] = {steps: [] for steps in STEPS}
    computing: dict[int, list[float]] = {steps: [] for steps in STEPS}
    for number in range(plans + 1):
        for steps, planner in planners.items():
            say("plan: seconds per plan", number / (plans + 1))
            begun = time.process_time()
            timed = planner.plan(request, Context("timing", "timing")).timings
            if number:
                timings[steps].append(timed)
                computing[steps].append(time.process_time() - begun)
    return {
        **{str(steps): round(_median(rows, "total") / 1e3, 4) for steps, rows in timings.items()},
        "stages_ms": {
            str(steps): {stage: round(_median(rows, stage), 1) for stage in rows[0]} for steps, rows in timings.items()
        },
        "cpu_seconds": {str(steps): round(float(np.median(rows)), 4) for steps, rows in computing.items()},
        "plans": plans,
        "threads": torch.get_num_threads(),
        "note": f"Median; H = {bundle.config.horizon}, {ITERATIONS} iterations, {CANDIDATES} candidates, no pictures. "
        "CPU seconds: what all threads together spent on a plan; with one thread, less than the seconds themselves "
        "means that other work was in the way.",
    }


def describe_machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "cpu": _cpu_model(),
        "cores": torch.multiprocessing.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "measured": time.strftime("%Y-%m-%d %H:%M"),
    }


def _planner(bundle: Bundle, steps: int) -> Planner:
    config = PlannerConfig(flow_steps=steps, iterations=ITERATIONS).never_uncertain()  # black pictures are unfamiliar
    arms = [ArmKinematics(franka(name)) for name in bundle.config.robots]
    eight = FirstEight(BasisProposer(config.speeds, config.yaw_speed))
    return Planner(bundle, (eight,), arms, build_planner(bundle, config).limits, config)


def _median(rows: list[dict[str, float]], stage: str) -> float:
    return float(np.median([row[stage] for row in rows]))


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
