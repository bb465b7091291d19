"""Do a robot and a planner fit: every difference is named."""

from __future__ import annotations

import dataclasses

import numpy as np
import protocol_samples as samples
import pytest

from plan_protocol.errors import SpecMismatchError
from plan_protocol.spec import RobotOffer, check_plan, check_request, check_spec, spec_differences

FITTING = RobotOffer("panda", {"left": (180, 300), "right": None, "wrist": (12, 20), "spare": None}, frame_period=0.2)


def test_a_fitting_robot_has_no_differences():
    assert spec_differences(samples.spec(), FITTING) == []
    check_spec(samples.spec(), FITTING)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"robot_model": "ur5"}, "robot model: this robot is a 'ur5'.*panda, fr3"),
        ({"cameras": {"left": None, "wrist": None}}, "camera 'right': the planner needs it, the robot has left, wrist"),
        ({"cameras": {"left": (480, 640), "right": None, "wrist": None}}, "camera 'left'.*640x480.*20x12"),
        ({"pose_frame": "tcp"}, "pose frame: the planner uses 'link8', the robot 'tcp'"),
        ({"base_frame": "world"}, "base frame"),
        ({"rotation": "quaternion"}, "rotation: .*extrinsic_xyz_euler.*quaternion"),
        ({"length_unit": "mm"}, "length unit"),
        ({"angle_unit": "deg"}, "angle unit"),
        ({"gripper": "0_closed_1_open"}, "gripper: .*0_open_1_closed.*0_closed_1_open"),
        ({"frame_period": 0.1}, "frame period: .*0.2 s.*0.1 s"),
    ],
)
def test_each_difference_is_named(changes, words):
    offer = dataclasses.replace(FITTING, **changes)
    assert len(spec_differences(samples.spec(), offer)) == 1
    with pytest.raises(SpecMismatchError, match=words) as caught:
        check_spec(samples.spec(), offer)
    assert len(caught.value.differences) == 1


def test_all_differences_come_at_once():
    assert len(spec_differences(samples.spec(), RobotOffer("ur5", gripper="percent"))) == 5


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (samples.spec(history_offsets=(0,)), "2 frames"),
        (samples.spec(cameras=samples.spec().cameras[:2]), "3 cameras"),
        (samples.spec(cameras=tuple(dataclasses.replace(c, width=40) for c in samples.spec().cameras)), "20x12.*40x12"),
        (samples.spec(max_committed=1), "committed prefix of 2 frames.*at most 1"),
    ],
)
def test_requests_that_do_not_fit_the_spec_are_refused(spec, words):
    check_request(samples.spec(), samples.request())
    with pytest.raises(SpecMismatchError, match=words):
        check_request(spec, samples.request())


def test_plans_that_do_not_fit_the_promise_are_refused():
    request = samples.request(2.0)
    check_plan(samples.spec(), request, samples.plan(2.0))
    with pytest.raises(SpecMismatchError, match="observation"):
        check_plan(samples.spec(), request, samples.plan(np.nextafter(2.0, 3)))
    with pytest.raises(SpecMismatchError, match="promised are 5"):
        check_plan(samples.spec(), request, samples.plan(2.0, horizon=4))
