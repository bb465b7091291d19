"""Inverse kinematics side by side: our damped least squares against Pink, on recorded DROID trajectories.

Every method follows the measured 15 Hz flange poses of each episode, each solve started from its previous solution.
Pink is not a dependency of VidPlan; without it only our solver is measured. To compare, install it into a directory
of its own and put that on the path:

    pip install --no-deps --target /tmp/pink pin-pink qpsolvers daqp loop-rate-limiters
    PYTHONPATH=/tmp/pink python benchmarks/ik_comparison.py PATH/TO/DROID/annotation
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from robot_model.conventions import CONTROL_PERIOD, pose_distance, pose_to_matrix
from robot_model.franka import PANDA
from robot_model.ik import InverseKinematics
from robot_model.kinematics import ArmKinematics
from robot_model.rigid_body import pinocchio

STEP = PANDA.velocity * CONTROL_PERIOD
Method = Callable[[np.ndarray, np.ndarray], np.ndarray]


def damped_least_squares(max_step: np.ndarray | None) -> Method:
    solver = InverseKinematics(ArmKinematics(PANDA))
    return lambda target, q: solver.solve(target, q, max_step).q


def pink(iterations: int) -> Method:
    """Pink with one or several QPs per control step, which share the step's velocity limit.

    Of the settings tried (Levenberg-Marquardt damping 0, 1e-6, 1e-3; posture cost 1e-4 .. 1e-2; posture gain 0.02 .. 1)
    these track best.
    """
    from pink import Configuration, solve_ik
    from pink.tasks import FrameTask, PostureTask

    kinematics = ArmKinematics(PANDA)
    frame = FrameTask("panda_link8", position_cost=1.0, orientation_cost=1.0, lm_damping=1e-6)
    posture = PostureTask(cost=1e-4, gain=0.05)
    posture.set_target((PANDA.lower + PANDA.upper) / 2)
    period = CONTROL_PERIOD / iterations

    def solve(target: np.ndarray, q: np.ndarray) -> np.ndarray:
        # Joints that rounding left a hair outside would be refused.
        configuration = Configuration(kinematics.model, kinematics.data, PANDA.clip(q))
        frame.set_target(pinocchio.SE3(target))
        for _ in range(iterations):
            velocity = solve_ik(configuration, [frame, posture], period, solver="daqp", damping=1e-9)
            configuration.integrate_inplace(velocity, period)
        return configuration.q

    return solve


def measure(name: str, method: Method, episodes: list[dict]) -> None:
    metres, radians, milliseconds, speeds, violations = [], [], [], [], 0
    kinematics = ArmKinematics(PANDA)
    for episode in episodes:
        recorded = np.array(episode["observation.state.joint_position"])
        poses = np.array(episode["observation.state.cartesian_position"])
        q, joints = recorded[0], [recorded[0]]
        for target in pose_to_matrix(poses):
            begin = time.perf_counter()
            q = method(target, q)
            milliseconds.append(1e3 * (time.perf_counter() - begin))
            joints.append(q)
        position, rotation = pose_distance(kinematics.forward_pose(np.array(joints[1:])), poses)
        metres.append(position)
        radians.append(rotation)
        speed = np.abs(np.diff(joints, axis=0)) / STEP
        speeds.append(speed.max())
        violations += int((speed.max(axis=1) > 1 + 1e-9).sum())
    micrometres, degrees = 1e6 * np.concatenate(metres), np.degrees(np.concatenate(radians))
    print(
        f"{name:34s} {np.median(micrometres):9.3f} {micrometres.max():9.1f} {np.median(degrees):9.5f}"
        f" {degrees.max():9.5f} {np.median(milliseconds):8.3f} {np.percentile(milliseconds, 99):8.3f}"
        f" {max(speeds):8.2f} {violations:6d}"
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description="Compare inverse kinematics on recorded DROID trajectories: tracking errors, time, velocities."
    )
    parser.add_argument("annotation", type=Path, help="folder of episode annotations (searched for *.json)")
    paths = sorted(parser.parse_args(argv).annotation.rglob("*.json"))
    episodes = [json.loads(path.read_text()) for path in paths]
    episodes = [episode for episode in episodes if "observation.state.joint_position" in episode]
    if not episodes:
        print("no episode with 15 Hz joints and poses found there", file=sys.stderr)
        return 1
    rows = sum(len(episode["observation.state.joint_position"]) for episode in episodes)
    print(f"{len(episodes)} episodes, {rows} targets at 15 Hz; speed = largest joint speed / the Panda's limit\n")
    print(
        f"{'method':34s} {'um med':>9s} {'um max':>9s} {'deg med':>9s} {'deg max':>9s} {'ms med':>8s} {'ms p99':>8s}"
        f" {'speed':>8s} {'faster':>6s}"
    )
    measure("damped least squares", damped_least_squares(None), episodes)
    measure("damped least squares, max_step", damped_least_squares(STEP), episodes)
    if importlib.util.find_spec("pink") is None:
        print("Pink is not installed; see the top of this file for how to compare with it")
        return 0
    for iterations in (1, 3):
        measure(f"Pink + daqp, {iterations} QP per step", pink(iterations), episodes)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
