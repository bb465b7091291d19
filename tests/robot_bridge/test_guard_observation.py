"""Layers on observations: each objects for its own reason and to nothing else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from robot_bridge.config import BridgeConfig
from robot_bridge.guard.observation import ObservationGuard, Senses
from robot_bridge.guard.reasons import Reason

FINE = Senses({"left": 0.05, "right": 0.06, "wrist": 0.04}, joint_age=0.01, frame_age=0.06, skew=0.02)


def ages(**changed: float) -> Senses:
    return replace(FINE, camera_ages={**FINE.camera_ages, **changed})


@pytest.mark.parametrize(
    ("senses", "reason"),
    [
        (FINE, None),
        (replace(FINE, joint_age=math.inf), Reason.JOINTS_MISSING),
        (replace(FINE, joint_age=0.26), Reason.JOINTS_STALE),
        (replace(FINE, joint_age=-0.3), Reason.FUTURE_STAMP),
        (ages(wrist=math.inf), Reason.CAMERA_MISSING),
        (ages(right=0.51), Reason.CAMERA_STALE),
        (ages(left=-0.3), Reason.FUTURE_STAMP),
        (ages(left=-0.05), None),
        (replace(FINE, frame_age=0.51), Reason.CAMERA_STALE),
        (replace(FINE, frame_age=math.inf), Reason.CAMERA_SKEW),
        (replace(FINE, skew=0.08), Reason.CAMERA_SKEW),
    ],
)
def test_reason(senses, reason):
    finding = ObservationGuard(BridgeConfig()).check(senses)
    assert (finding.reason if finding else None) is reason


def test_the_finding_names_the_camera_and_the_limit():
    finding = ObservationGuard(BridgeConfig(max_camera_age=0.3)).check(ages(right=0.42))
    assert finding is not None
    assert "'right'" in finding.detail
    assert "0.42" in finding.detail
    assert "0.3" in finding.detail
    assert "use_sim_time" not in finding.detail


@pytest.mark.parametrize("senses", [ages(right=1.7e9), replace(FINE, joint_age=1.7e9)])
def test_an_age_that_cannot_be_one_is_another_clocks(senses):
    finding = ObservationGuard(BridgeConfig()).check(senses)
    assert finding is not None
    assert "use_sim_time" in finding.detail


@pytest.mark.parametrize(
    ("senses", "topic"),
    [(ages(wrist=math.inf), "/hand/image"), (replace(FINE, joint_age=math.inf), "/lab/joint_states")],
)
def test_what_never_came_is_named_by_its_topic(senses, topic):
    cameras = ("left=/a", "right=/b", "wrist=/hand/image")
    finding = ObservationGuard(BridgeConfig(cameras=cameras, joint_topic="/lab/joint_states")).check(senses)
    assert finding is not None
    assert topic in finding.detail
    assert "vidplan doctor" in finding.detail
