"""The planner's side of a policy server: units, time, and what happens when it is late, broken or away."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from planner_fakes import ARMS, KINEMATICS, LIMITS, PERIOD, START, H, ToyBundle, ToyContext, request
from policy_server import Scripted, openpi_python, served

from plan_protocol.messages import Observation
from planner_server.config import PlannerConfig
from planner_server.planner import Planner
from planner_server.policy.droid import checked_actions, padded, unpadded
from planner_server.policy.errors import MessageError, PolicyError
from planner_server.proposers.basis import BasisProposer
from planner_server.proposers.interfaces import Situation
from planner_server.proposers.openpi import OpenPiPolicy, OpenPiProposer, flange_chunk
from robot_model.conventions import DROID_RESET_JOINTS

NOWHERE = "ws://127.0.0.1:9"
PICTURES = np.random.default_rng(0).integers(0, 256, (2, 3, 48, 80, 3), np.uint8)


def situation(stamp: float = 10.0, committed: int = 0) -> Situation:
    observation = Observation(
        PICTURES, np.array([stamp - PERIOD, stamp]), np.stack([START, START]), np.array(DROID_RESET_JOINTS)
    )
    times = stamp + PERIOD * (committed + 1 + np.arange(H))
    joints = np.array(DROID_RESET_JOINTS)
    return Situation("arm", "put the carrot in the bowl", START, joints, times, PERIOD, KINEMATICS, observation)


def turning(steps: int = 15, speed: float = 0.1) -> np.ndarray:
    """Joint 1 turns at ``speed`` in DROID's units; the gripper closes after 0.6 s."""
    actions = np.zeros((steps, 8))
    actions[:, 0] = speed
    actions[9:, 7] = 0.9
    return actions


def base_angle(poses: np.ndarray) -> np.ndarray:
    return np.arctan2(poses[:, 1], poses[:, 0])


def test_one_is_a_fifth_of_a_radian_per_control_step() -> None:
    poses = flange_chunk(turning(), 0, situation())
    assert poses is not None
    assert np.allclose(base_angle(poses), 0.1 * 0.2 * 3 * np.arange(1, H + 1))
    assert poses[:, 6].tolist() == [0, 0, 0, 1, 1]
    assert np.allclose(poses[:, 2], START[2])


def test_speeds_and_joints_stay_within_the_arms_limits() -> None:
    franka = KINEMATICS.franka
    fast = flange_chunk(turning(speed=50.0), 0, situation())
    assert fast is not None
    assert base_angle(fast)[0] == pytest.approx(PERIOD * franka.velocity[0])
    near_the_end = replace(situation(), start_joints=np.array([2.85, *DROID_RESET_JOINTS[1:]]))
    pressed = flange_chunk(turning(speed=0.5), 0, near_the_end)
    assert pressed is not None
    assert base_angle(pressed)[-1] == pytest.approx(franka.upper[0])


def test_what_is_over_is_left_out_and_after_the_last_action_the_arm_rests() -> None:
    poses = flange_chunk(turning(), 6, situation())
    assert poses is not None
    assert np.allclose(base_angle(poses), 0.06 * np.array([1, 2, 3, 3, 3]))
    assert poses[:, 6].tolist() == [0, 1, 1, 1, 1]
    assert flange_chunk(turning(), 13, situation()) is None
    assert flange_chunk(turning(), -1, situation()) is None


def test_the_observation_is_droids() -> None:
    server = Scripted(turning())
    with served(server) as address:
        policy = OpenPiPolicy(address, exterior=1, wrist=2, patience=10)
        poses = policy.chunk(situation(committed=2))
        policy.close()
    assert poses is not None
    assert base_angle(poses)[-1] == pytest.approx(0.18), "two frames are over when the chunk begins"
    (seen,) = server.seen
    assert set(seen) == {
        "observation/exterior_image_1_left",
        "observation/wrist_image_left",
        "observation/joint_position",
        "observation/gripper_position",
        "prompt",
    }
    for key, view in (("exterior_image_1_left", 1), ("wrist_image_left", 2)):
        picture = seen[f"observation/{key}"]
        assert (picture.shape, picture.dtype) == ((224, 224, 3), np.uint8)
        assert np.array_equal(picture, padded(PICTURES[-1, view]))
    assert np.allclose(seen["observation/joint_position"], DROID_RESET_JOINTS)
    assert seen["observation/gripper_position"].tolist() == [0.0]
    assert seen["prompt"] == "put the carrot in the bowl"


def test_padding_keeps_the_aspect_and_can_be_undone() -> None:
    smooth = np.tile(np.linspace(0, 255, 80).astype(np.uint8)[None, :, None], (48, 1, 3))
    square = padded(smooth)
    rows = np.flatnonzero(square.any((1, 2)))
    assert (rows[0], len(rows)) == (45, 134)
    assert np.abs(unpadded(square, (48, 80)).astype(int) - smooth).max() <= 2


def test_padding_agrees_with_openpis_own(tmp_path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (192, 320, 3), np.uint8)
    image[:, 80:240] = 200
    np.save(tmp_path / "image.npy", image)
    code = "import sys, numpy as np; from openpi_client.image_tools import resize_with_pad as r; " + (
        "np.save(sys.argv[2], r(np.load(sys.argv[1]), 224, 224))"
    )
    command = [openpi_python(), "-c", code, str(tmp_path / "image.npy"), str(tmp_path / "square.npy")]
    subprocess.run(command, check=True, timeout=60)
    theirs, ours = np.load(tmp_path / "square.npy").astype(int), padded(image).astype(int)
    assert np.array_equal(theirs.any((1, 2)), ours.any((1, 2)))
    assert np.abs(theirs - ours)[:, 70:154].max() <= 1


def test_a_late_answer_serves_the_next_plan() -> None:
    server = Scripted(turning())
    with served(server) as address:
        policy = OpenPiPolicy(address, 0, 2, patience=0.0)
        server.gate.clear()
        assert policy.chunk(situation(10.0)) is None
        assert "no answer within 0 s" in policy.note
        server.gate.set()
        policy._link.ask("other", 0.0, {"prompt": ""}, 10)  # answered after the first one
        poses = policy.chunk(situation(10.4))
        policy.close()
    assert poses is not None
    assert base_angle(poses)[-1] == pytest.approx(0.18), "0.4 s of it are over"
    assert "0.4 s old" in policy.note


def test_a_new_task_drops_the_answer_that_is_on_its_way() -> None:
    server = Scripted(turning())
    with served(server) as address:
        policy = OpenPiPolicy(address, 0, 2, patience=0.0)
        server.gate.clear()
        policy.chunk(situation(10.0))
        policy.forget("arm")
        server.gate.set()
        policy._link.ask("other", 0.0, {"prompt": ""}, 10)
        server.gate.clear()
        assert policy.chunk(situation(10.2)) is None
        server.gate.set()
        policy.close()


def test_a_policy_that_fails_or_comes_back_is_noticed() -> None:
    server = Scripted(ValueError("out of memory"))
    with served(server) as address:
        policy = OpenPiPolicy(address, 0, 2, patience=10)
        assert policy.chunk(situation()) is None
        assert "out of memory" in policy.note
        server.actions = np.zeros((15, 32))
        assert policy.chunk(situation()) is None
        assert "need" not in policy.note
        assert "(15, 32)" in policy.note
        server.actions = turning()
        assert policy.chunk(situation()) is not None
        policy.close()


@pytest.mark.parametrize(
    "answer", [{}, {"actions": [1]}, {"actions": np.full((15, 8), np.nan)}, {"actions": np.zeros((0, 8))}]
)
def test_unusable_answers_are_refused(answer: dict) -> None:
    with pytest.raises(MessageError):
        checked_actions(answer)


def test_a_wrong_address_is_refused_at_once() -> None:
    with pytest.raises(PolicyError, match="expected ws://HOST:PORT"):
        OpenPiPolicy("http://localhost:8000", 0, 2, 0.3)


def planner(policy: OpenPiPolicy) -> Planner:
    config = PlannerConfig(iterations=1)
    proposers = (BasisProposer(config.speeds, config.yaw_speed), OpenPiProposer(policy, 3, 0.02, 0.0, 0.2))
    return Planner(ToyBundle(), proposers, ARMS, LIMITS, config)  # type: ignore[arg-type]


def test_a_plan_without_the_policy_has_the_basis_motions_and_says_why() -> None:
    policy = OpenPiPolicy(NOWHERE, 0, 2, patience=10)
    plan = planner(policy).plan(request(), ToyContext())
    policy.close()
    assert len(plan.candidates) == 10
    assert plan.proposers["policy"].startswith("skipped")
    assert f"no policy server at {NOWHERE}" in plan.proposers["policy"]


def test_a_plan_with_the_policy_has_its_chunk_and_copies() -> None:
    with served(Scripted(turning())) as address:
        policy = OpenPiPolicy(address, 0, 2, patience=10)
        plan = planner(policy).plan(request(), ToyContext())
        policy.close()
    assert [c.name for c in plan.candidates][10:] == ["policy", "policy ~1", "policy ~2", "policy ~3"]
    assert "answered in time" in plan.proposers["policy"]
