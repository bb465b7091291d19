"""Proposals do what their names say."""

from __future__ import annotations

import numpy as np
import pytest
from planner_fakes import KINEMATICS, LIMITS, PERIOD, START, H

from planner_server.limits import project
from planner_server.proposers.basis import AXES, BasisProposer
from planner_server.proposers.biased import BiasedProposer, PreviousPlan
from planner_server.proposers.interfaces import Situation
from robot_model.conventions import DROID_RESET_JOINTS, pose_distance

SPEED = 0.12


def situation(start_time: float = 10.0, gripper: float = 0.0, robot_id: str = "arm") -> Situation:
    start = START.copy()
    start[6] = gripper
    times = start_time + PERIOD * np.arange(1, H + 1)
    return Situation(
        robot_id, "put the carrot in the bowl", start, np.array(DROID_RESET_JOINTS), times, PERIOD, KINEMATICS
    )


def basis(gripper: float = 0.0, speeds: tuple[float, ...] = (SPEED,)) -> dict[str, np.ndarray]:
    offer = BasisProposer(speeds, 0.5).propose(situation(gripper=gripper), np.random.default_rng(0))
    return {p.name: project(p.poses, START, LIMITS) for p in offer.proposals}


@pytest.mark.parametrize("name", sorted(AXES))
def test_a_basis_chunk_moves_along_its_axis_and_keeps_its_orientation(name: str) -> None:
    chunk = basis()[name]
    moved = chunk[-1, :3] - START[:3]
    assert np.allclose(moved, np.array(AXES[name]) * SPEED * H * PERIOD, atol=0.004)
    steps = np.diff(np.vstack([START[:3], chunk[:, :3]]), axis=0)
    assert np.allclose(np.linalg.norm(steps, axis=1), SPEED * PERIOD, atol=0.002)
    _, radians = pose_distance(chunk, START[None])
    assert radians.max() < 0.02
    assert (chunk[:, 6] == 0).all()


def test_each_speed_has_its_own_six() -> None:
    chunks = basis(speeds=(0.12, 0.05))
    assert np.allclose(chunks["+x slow"][-1, 0] - START[0], 0.05, atol=0.003)
    assert {f"{axis} slow" for axis in AXES} <= set(chunks)


def test_yaw_turns_about_the_base_frames_z() -> None:
    chunks = basis()
    for name in ("yaw+", "yaw-"):
        metres, radians = pose_distance(chunks[name][-1], START)
        assert metres < 0.01
        assert radians == pytest.approx(0.5, abs=0.02)
    _, apart = pose_distance(chunks["yaw+"][-1], chunks["yaw-"][-1])
    assert apart == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize(("gripper", "verb", "end"), [(0.0, "close", 1.0), (1.0, "open", 0.0)])
def test_the_gripper_can_be_toggled_while_moving_and_while_staying(gripper: float, verb: str, end: float) -> None:
    offer = BasisProposer((SPEED,), 0.5).propose(situation(gripper=gripper), np.random.default_rng(0))
    start = START.copy()
    start[6] = gripper
    chunks = {p.name: project(p.poses, start, LIMITS) for p in offer.proposals}
    for motion in ("-z", "+z", "stay"):
        assert chunks[f"{motion} {verb}"][-1, 6] == end
        assert (chunks[motion][:, 6] == gripper).all()
        assert np.allclose(chunks[f"{motion} {verb}"][:, :6], chunks[motion][:, :6])
    assert np.allclose(chunks["stay"], start)


def biased(**changes: float) -> BiasedProposer:
    values = {"perturbations": 4, "position_noise": 0.02, "yaw_noise": 0.1, "gripper_flip": 0.5} | changes
    return BiasedProposer(PreviousPlan(), **values)  # type: ignore[arg-type]


def test_no_previous_plan_is_said_and_not_invented() -> None:
    offer = biased().propose(situation(), np.random.default_rng(0))
    assert offer.proposals == ()
    assert offer.note.startswith("skipped")


def walked(proposer: BiasedProposer, robot_id: str = "arm") -> np.ndarray:
    """Remember a plan along +y at 0.1 m/s that begins at 10.0 s and closes the gripper in its last two frames."""
    chunk = np.tile(START, (H, 1))
    chunk[:, 1] += 0.02 * np.arange(1, H + 1)
    chunk[3:, 6] = 1.0
    proposer.remember(robot_id, 10.0 + PERIOD * np.arange(1, H + 1), chunk)
    return chunk


def test_the_previous_plan_goes_on_and_beyond_its_end() -> None:
    proposer = biased()
    walked(proposer)
    nominal = proposer.propose(situation(start_time=10.6), np.random.default_rng(0)).proposals[0]
    assert nominal.name == "previous"
    assert np.allclose(np.diff(np.concatenate([[START[1]], nominal.poses[:, 1]])), 0.02, atol=1e-9)
    assert np.allclose(nominal.poses[:, 6], 1.0)
    assert np.allclose(nominal.poses[:, 3:6], START[3:6])


def test_perturbed_copies_differ_grow_and_follow_the_seed() -> None:
    proposer = biased()
    walked(proposer)
    first = proposer.propose(situation(10.2), np.random.default_rng(7)).proposals
    again = proposer.propose(situation(10.2), np.random.default_rng(7)).proposals
    other = proposer.propose(situation(10.2), np.random.default_rng(8)).proposals
    assert len(first) == 5
    assert all(np.array_equal(a.poses, b.poses) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1].poses, other[1].poses)
    bend = np.linalg.norm(first[1].poses[:, :3] - first[0].poses[:, :3], axis=1)
    assert (np.diff(bend) > 0).all()
    assert len({tuple(p.poses[:, 6]) for p in first}) > 1


def test_memory_is_per_robot_and_ends_with_the_plan_or_a_reset() -> None:
    proposer = biased()
    walked(proposer)
    rng = np.random.default_rng(0)
    assert proposer.propose(situation(robot_id="other"), rng).proposals == ()
    assert proposer.propose(situation(start_time=11.1), rng).proposals == ()
    assert proposer.propose(situation(start_time=5.0), rng).proposals == (), "the robot's clock was set back"
    proposer.forget("arm")
    assert proposer.propose(situation(), rng).proposals == ()
