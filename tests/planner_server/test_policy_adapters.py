"""A policy's joint velocities go through the adapter that fits its robot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from planner_fakes import KINEMATICS, PERIOD, START, H
from policy_server import Scripted, served
from test_policy_proposer import base_angle, situation, turning

from models.adapter import load_adapter
from models.adapter_recordings import read_chunks
from planner_server.policy.adapters import AdapterChoice, joint_velocities
from planner_server.policy.errors import PolicyError
from planner_server.proposers.interfaces import Situation
from planner_server.proposers.openpi import OpenPiPolicy, flange_chunk
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import PANDA

EXACT = 0.1 * 0.2 * 15
"""rad by which joint 1 turns in `turning`."""


def turned(metadata: dict[str, object], adapter: str = "auto") -> float:
    server = Scripted(turning())
    server.metadata = metadata
    with served(server) as address:
        policy = OpenPiPolicy(address, 0, 2, patience=10, adapter=adapter)
        poses = policy.chunk(situation())
        policy.close()
    assert poses is not None
    return float(base_angle(poses)[-1])


def test_a_policy_that_says_nothing_moves_as_droids_robots_do() -> None:
    assert 0.1 * EXACT < turned({}) < 0.35 * EXACT


def test_a_policy_can_say_that_its_arm_is_exact_and_the_operator_overrules_it() -> None:
    assert turned({"action_adapter": "integrate"}) == pytest.approx(EXACT)
    assert turned({"action_adapter": "integrate"}, adapter="droid") == turned({})
    assert turned({}, adapter="integrate") == pytest.approx(EXACT)


def test_a_policy_cannot_name_files() -> None:
    named = AdapterChoice().of({"action_adapter": "/etc/passwd"})
    assert named is not None
    assert AdapterChoice("integrate").of({}) is None


def test_an_adapter_that_cannot_be_used_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(json.dumps({"format": "another"}))
    for file in (tmp_path / "mine.json", tmp_path / "gone.pth"):
        with pytest.raises(PolicyError, match=file.name):
            OpenPiPolicy("ws://127.0.0.1:9", 0, 2, 0.3, adapter=str(file))


def test_velocities_are_those_of_the_joints_that_are_reached() -> None:
    actions = np.zeros((6, 7))
    actions[:, 5] = [0.2, 0.4, 3.0, 1.0, 0.0, -0.2]
    start = np.array(DROID_RESET_JOINTS)
    reached = start + np.cumsum(joint_velocities(actions, start, load_adapter()), axis=0) / 15
    clipped = np.cumsum(joint_velocities(np.clip(actions, -1, 1), start, load_adapter()), axis=0) / 15
    assert np.allclose(reached, start + clipped)
    assert reached[3, 5] - start[5] > 0.02
    assert np.allclose(joint_velocities(actions, start, None), 3.0 * np.clip(actions, -1, 1))


def test_real_chunks_end_nearer_to_where_the_arm_really_went(droid: Path) -> None:
    chunks = read_chunks(droid, "val", 3 * H)
    errors: dict[str, list[float]] = {"integrate": [], "droid": []}
    for row in range(0, len(chunks.joints), 40):
        q = chunks.joints[row].astype(float)
        begins = Situation("arm", "", START, q, PERIOD * (1 + np.arange(H)), PERIOD, KINEMATICS)
        truth = KINEMATICS.forward_pose(PANDA.clip(chunks.reached[row, 2::3].astype(float)))
        for name, found in errors.items():
            actions = np.column_stack([chunks.velocities[row], np.zeros(3 * H)])
            poses = flange_chunk(actions, 0, begins, AdapterChoice(name).of({}))
            assert poses is not None
            found.append(float(np.linalg.norm(poses[:, :3] - truth[:, :3], axis=1).mean()))
    assert np.mean(errors["droid"]) < 0.2 * np.mean(errors["integrate"])
    assert np.mean(errors["droid"]) < 0.02
