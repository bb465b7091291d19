"""The collision layer: what is too near is named, the way out stays open, a path ends before it touches anything."""

from __future__ import annotations

import numpy as np
import pytest
from cell_fakes import FakeCell, make_plan, straight

from robot_bridge.config import BridgeConfig
from robot_bridge.errors import ConfigError
from robot_bridge.guard.collision import Collision
from robot_bridge.guard.reasons import Reason
from robot_model.conventions import DROID_RESET_JOINTS as RESET
from robot_model.conventions import PINCH_OFFSET, pose_to_matrix
from robot_model.franka import PANDA
from robot_model.ik import InverseKinematics
from robot_model.kinematics import ArmKinematics

KINEMATICS = ArmKinematics(PANDA)


def layer(**settings) -> Collision:
    return Collision(BridgeConfig.from_mapping(settings), KINEMATICS)


def pinching_at(height: float) -> np.ndarray:
    pinch = pose_to_matrix(np.array([0.5, 0.0, height, np.pi, 0.0, 0.0]))
    return InverseKinematics(KINEMATICS).solve(pinch @ np.linalg.inv(PINCH_OFFSET), RESET).q


def test_grasping_on_the_table_is_possible_and_no_lower():
    assert layer().objection(pinching_at(0.018), RESET) is None, "the height at which thin things are grasped"
    finding = layer().objection(pinching_at(0.012), RESET)
    assert finding is not None
    assert finding.reason is Reason.SCENE_COLLISION
    assert finding.detail.startswith("fingertips would be -7 mm from table")


def test_the_way_out_stays_open():
    low, lower = pinching_at(0.010), pinching_at(0.008)
    assert layer().objection(low, lower) is None
    assert layer().objection(lower, low) is not None
    assert layer().objection(low, low) is None


def test_a_folded_arm_is_a_self_collision():
    finding = layer(table_height=-2.0).objection(np.array([0.0, -1.7, 0.0, -3.0, 0.0, 0.4, 0.8]), RESET)
    assert finding is not None
    assert finding.reason is Reason.SELF_COLLISION


def test_boxes_come_from_the_settings_and_are_named_by_number():
    here = KINEMATICS.forward(RESET)[:3, 3]
    box = f"0,2,0,0.1,0.1,0.1; {here[0]:.3f},{here[1]:.3f},{here[2]:.3f},0.1,0.1,0.1"
    finding = layer(keep_out=box).objection(RESET, RESET + 0.3)
    assert finding is not None
    assert "keep-out box 2" in finding.detail


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d,e,f", "0,0,0,1,1,0", "0,0,nan,1,1,1", "0 0 0 1 1 1"])
def test_boxes_that_are_none_are_refused(text):
    with pytest.raises(ConfigError, match=r"^keep_out: "):
        BridgeConfig(keep_out=text)


@pytest.mark.parametrize("box", ["", "0.45,0,0.2,0.3,0.3,0.1"])
def test_a_plan_into_the_table_or_a_box_ends_before_it(box):
    down = np.array([0, 0, -0.02, 0, 0, 0, 0])
    cell = FakeCell(
        lambda request: make_plan(request, straight(request, down)), keep_out=box, workspace_lower=(0.15, -0.6, 0.0)
    )
    cell.run(15.0)
    assert cell.speed() == 0.0
    assert cell.executor.rejected["scene_collision"] > 0
    rest = layer(keep_out=box).model.excess(cell.arm.state(cell.time)[0])
    assert -0.004 < rest.min() < 0.02, "it went near, and no nearer"
    assert "stop" not in cell.names()


def test_a_hand_that_rests_at_the_table_goes_aside_slowly_instead_of_dipping_into_it():
    """As planned, joints that start at full acceleration would take the fingertips 11 mm under the table."""
    resting = np.array([0.181542, 0.722278, 0.142343, -1.726922, -0.171073, 2.42952, -0.214543])
    steps = np.array([0.036, 0.057, 0.057, 0.057, 0.06])[:, None] * [1, 0.15, 0, 0, 0, 0, 0]
    cell = FakeCell(
        lambda request: make_plan(request, request.observation.poses[-1] + steps),
        joints=resting,
        workspace_lower=(0.15, -0.6, 0.0),
    )
    room = layer().model
    for _ in range(60):
        cell.step()
        assert room.excess(cell.arm.state(cell.time)[0]).min() > 0.0
    plans = [event for event in cell.events if event["event"] == "plan"]
    assert plans[0]["accepted"]
    assert "slowed down to 50%" in str(plans[0])
    went = [KINEMATICS.forward_pose(q)[0] for q in (resting, cell.arm.state(cell.time)[0])]
    assert went[1] > went[0] + 0.05
