"""The DROID NUC: its wire format, its commands, and the errors it swallows."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from fake_nuc import FakeNuc

from robot_bridge.backends.droid_nuc import DroidNuc
from robot_bridge.backends.interfaces import BackendError
from robot_bridge.backends.motion_check import MotionCheck
from robot_bridge.backends.zerorpc_client import RemoteError, ZerorpcClient
from robot_bridge.config import BridgeConfig
from robot_bridge.execution.limits import JointLimits
from robot_bridge.execution.smoothing import SentMotion, smooth
from robot_bridge.execution.trajectory import follow
from robot_bridge.guard.reasons import Finding, Reason
from robot_model.conventions import DROID_RESET_JOINTS as RESET
from robot_model.franka import PANDA

LIMITS = JointLimits.of(PANDA, BridgeConfig())


def motion(begin: float, radians: float = 0.3) -> SentMotion:
    steps = np.minimum(np.arange(1, 31) / 20, 1.0)
    return smooth(
        follow(begin, RESET, np.zeros(7), RESET + np.outer(steps, np.eye(7)[0] * radians), LIMITS), begin, LIMITS
    )


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def nuc():
    fake = FakeNuc()
    yield fake
    fake.close()


@pytest.fixture
def arm(nuc):
    backend = DroidNuc(nuc.address, time.monotonic, rate=100.0)
    backend.samples = []
    backend.start(backend.samples.append)
    yield backend
    backend.close()


def test_a_motion_arrives_where_it_was_told_and_states_come_back(nuc, arm):
    assert nuc.calls[:2] == ["launch_controller", "launch_robot"]
    sent = motion(time.monotonic())
    arm.send(sent)
    wait_for(lambda: np.abs(nuc.joints - sent.positions[-1]).max() < 1e-9)
    command, space, gripper_space, blocking = nuc.commands[-1]
    assert (space, gripper_space, blocking) == ("joint_position", "position", False)
    assert len(command) == 8
    wait_for(lambda: np.abs(arm.samples[-1].joints - sent.positions[-1]).max() < 1e-9)
    steps = np.abs(np.diff([entry[0][0] for entry in nuc.commands]))
    assert len(steps[steps > 0]) > 10, "on the way it is a motion, not a jump"
    assert arm.trouble() is None
    time.sleep(max(0.0, sent.end + 0.1 - time.monotonic()))
    count = len(nuc.commands)
    states = nuc.calls.count("get_robot_state")
    wait_for(lambda: nuc.calls.count("get_robot_state") > states + 5)
    assert len(nuc.commands) <= count + 1, "at rest nothing is sent, states go on coming"


def test_the_gripper_goes_along_also_at_rest(nuc, arm):
    arm.gripper.send(1.0)
    wait_for(lambda: nuc.gripper == 1.0)
    assert nuc.joints == pytest.approx(RESET)


def test_a_swallowed_error_is_noticed_by_the_motion_that_does_not_come(nuc, arm):
    nuc.dead = True
    arm.send(motion(time.monotonic(), 0.6))
    found: list[Finding] = []
    wait_for(lambda: found or (found.append(trouble) if (trouble := arm.trouble()) else None) or found)
    assert found[0].reason is Reason.NOT_FOLLOWING
    assert "joint 1" in found[0].detail
    count = len(nuc.commands)
    time.sleep(0.1)
    assert len(nuc.commands) == count, "nothing more is sent"


def test_a_nuc_that_falls_silent_is_an_error_and_nothing_is_sent_late(nuc, arm):
    arm.send(motion(time.monotonic()))
    wait_for(lambda: nuc.commands)
    nuc.mute = True
    found: list[Finding] = []
    wait_for(lambda: found or (found.append(trouble) if (trouble := arm.trouble()) else None) or found)
    assert found[0].reason is Reason.BACKEND_ERROR
    assert "did not answer" in found[0].detail
    count = len(nuc.commands)
    nuc.mute = False
    states = len(arm.samples)
    wait_for(lambda: len(arm.samples) > states + 3)
    assert len(nuc.commands) == count, "the motion from before is given up"


def test_nobody_there_is_said_at_the_start():
    client = ZerorpcClient("tcp://127.0.0.1:9")
    with pytest.raises(BackendError, match="did not answer launch_robot within"):
        client.call("launch_robot", timeout=0.1)
    client.close()


def test_errors_of_the_other_side_come_with_their_words(nuc):
    client = ZerorpcClient(nuc.address)
    with pytest.raises(RemoteError, match=r"fly failed.*AttributeError"):
        client.call("fly")
    assert client.call("get_robot_state")[0]["gripper_position"] == 0.0
    client.close()


def test_heartbeats_are_sent_while_waiting_and_are_no_answers():
    fake = FakeNuc(delay=0.3, heartbeat=1.0)
    client = ZerorpcClient(fake.address, heartbeat=0.1)
    assert client.call("launch_robot") is None
    client.call("get_robot_state")
    wait_for(lambda: fake.heartbeats >= 2)
    client.close()
    fake.close()


def test_a_late_answer_is_not_taken_for_the_next_ones():
    fake = FakeNuc(delay=0.2)
    client = ZerorpcClient(fake.address)
    with pytest.raises(BackendError, match="did not answer"):
        client.call("launch_robot", timeout=0.05)
    assert client.call("get_robot_state")[0]["joint_positions"] == pytest.approx(RESET)
    client.close()
    fake.close()


def test_it_speaks_with_the_zerorpc_package_itself():
    pytest.importorskip("gevent", reason="the zerorpc package is not installed")
    zerorpc = pytest.importorskip("zerorpc", reason="the zerorpc package is not installed")
    fake = FakeNuc()
    client = zerorpc.Client(heartbeat=20)
    client.connect(fake.address)
    assert client.update_command([*RESET.tolist(), 0.0], "joint_position", "position", False)
    client.close()
    fake.close()


def test_slow_motion_and_following_arms_raise_no_alarm():
    check = MotionCheck()
    for k in range(100):
        told = RESET + k * 0.001
        assert check.add(k * 0.02, told, told - 0.01) is None
    still = MotionCheck()
    for k in range(100):
        assert still.add(k * 0.02, RESET, RESET) is None
    stuck = MotionCheck()
    findings = [stuck.add(k * 0.02, RESET + k * 0.005, RESET) for k in range(100)]
    assert findings[30] is None
    assert findings[-1].reason is Reason.NOT_FOLLOWING
