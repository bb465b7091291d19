"""DROID's own way to the arm: a NUC that runs polymetis at 1 kHz behind a zerorpc server.

A thread of its own reads the arm's state and sends joint positions, both 30 times a second. The NUC's non-blocking
commands swallow every error (a controller that is not running, a pressed user stop), so the motion is verified here:
an arm that was told to move and did not is `not_following`. If this program dies, polymetis holds the last position.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from robot_bridge.backends.interfaces import BackendError
from robot_bridge.backends.motion_check import MotionCheck
from robot_bridge.backends.zerorpc_client import ZerorpcClient
from robot_bridge.execution.smoothing import SentMotion
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.sensing.synchroniser import JointSample

RATE = 30.0
LAUNCH_TIMEOUT = 60.0
"""Seconds that launching the controller or the robot may take: polymetis starts processes."""

CALL_TIMEOUT = 0.5

logger = logging.getLogger(__name__)


class DroidNuc:
    """Arm and gripper of a DROID platform; a `RobotBackend`, and its `gripper` is a `GripperBackend`."""

    def __init__(self, address: str, clock: Callable[[], float], rate: float = RATE) -> None:
        """Create it.

        Args:
            address: ``tcp://NUC:4242``.
            clock: Seconds on the robot's clock; states are stamped with it when they arrive.
            rate: States and commands per second.
        """
        self.address, self._clock, self._period = address, clock, 1.0 / rate
        self.gripper = NucGripper()
        self._check = MotionCheck()
        self._motion: SentMotion | None = None
        self._trouble: Finding | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, take_joints: Callable[[JointSample], object]) -> None:
        """See `RobotBackend.start`: launches controller and robot on the NUC, as DROID's own client does."""
        client = ZerorpcClient(self.address)
        try:
            for name in ("launch_controller", "launch_robot"):
                client.call(name, timeout=LAUNCH_TIMEOUT)
            self.gripper.goal = float(_state(client).gripper)
        finally:
            client.close()
        self._thread = threading.Thread(target=self._run, args=(take_joints,), name="droid-nuc", daemon=True)
        self._thread.start()

    def send(self, motion: SentMotion) -> None:
        """See `RobotBackend.send`."""
        self._motion = motion

    def trouble(self) -> Finding | None:
        """See `RobotBackend.trouble`."""
        trouble, self._trouble = self._trouble, None
        return trouble

    def close(self) -> None:
        """See `RobotBackend.close`."""
        self._closed.set()
        if self._thread:
            self._thread.join(timeout=2.0)

    def _run(self, take_joints: Callable[[JointSample], object]) -> None:
        client = ZerorpcClient(self.address)
        try:
            while not self._closed.is_set():
                began = time.monotonic()
                try:
                    self._exchange(client, take_joints)
                except BackendError as error:
                    logger.warning("%s", error)
                    self._motion = None  # what was left of it is over by the time the NUC is back
                    self._check.forget()
                    self._trouble = Finding(Reason.BACKEND_ERROR, str(error))
                self._closed.wait(max(0.0, self._period - (time.monotonic() - began)))
        finally:
            client.close()

    def _exchange(self, client: ZerorpcClient, take_joints: Callable[[JointSample], object]) -> None:
        """Read the state; while there is something to say, send where the arm should be now."""
        state, now = _state(client), self._clock()
        take_joints(JointSample(now, state.joints, state.velocities, state.gripper))
        motion = self._motion
        if motion is None and not self.gripper.waiting:
            self._check.forget()
            return
        wanted = motion.state(now)[0] if motion is not None else state.joints
        self.gripper.waiting = False
        # The second space is the gripper's; False: do not wait until the arm is there.
        client.call(
            "update_command",
            [*wanted.tolist(), self.gripper.goal],
            "joint_position",
            "position",
            False,
            timeout=CALL_TIMEOUT,
        )
        finding = self._check.add(now, wanted, state.joints)
        if finding:
            self._trouble, self._motion = finding, None
            self._check.forget()
        elif motion is not None and now >= motion.end and self._motion is motion:
            self._motion = None


class NucGripper:
    """The gripper goes along with the arm's commands."""

    def __init__(self) -> None:
        self.goal = 0.0
        self.waiting = False

    def send(self, goal: float) -> None:
        """See `GripperBackend.send`."""
        self.goal, self.waiting = goal, True

    def trouble(self) -> Finding | None:
        """See `GripperBackend.trouble`: the arm's backend tells of both."""
        return None

    def close(self) -> None:
        """See `GripperBackend.close`."""


def _state(client: ZerorpcClient) -> JointSample:
    """The NUC's state; its stamp is left to the caller, whose clock counts."""
    answer: Any = client.call("get_robot_state", timeout=CALL_TIMEOUT)
    try:
        state = answer[0]
        joints, speeds = (np.asarray(state[name], dtype=float) for name in ("joint_positions", "joint_velocities"))
        gripper = float(state["gripper_position"])
    except (LookupError, TypeError, ValueError) as error:
        raise BackendError(f"the NUC's state cannot be read: {error!r}") from error
    if joints.shape != (7,) or speeds.shape != (7,) or not np.isfinite([*joints, *speeds, gripper]).all():
        raise BackendError("the NUC's state does not hold seven finite joint positions and velocities")
    return JointSample(0.0, joints, speeds, float(np.clip(gripper, 0.0, 1.0)))
