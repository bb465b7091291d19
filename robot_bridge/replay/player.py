"""Plays a bag to a bridge node in the same process, message by message, and owns its clock.

The bytes go out as they were recorded. Time runs at the recorded pace while the planner keeps up; when a plan is on its
way for longer than `PATIENCE`, the clock stands still until it is there, so that a slow machine plans on every second
of footage too, just not in real time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from robot_bridge.bags.bag import Bag
from robot_bridge.bags.recorded import COMPRESSED, IMAGE, JOINT_STATE, STRING, Recorded, decode
from robot_bridge.errors import BridgeError
from robot_model import ros_names

CLASSES = {IMAGE: Image, COMPRESSED: CompressedImage, JOINT_STATE: JointState, STRING: String}
STEP = 10_000_000
"""Clock resolution, ns."""
LEAD = 100_000_000
"""ns by which the clock starts before the first message."""
PATIENCE = 500_000_000
"""ns of footage that may pass while a plan is made; a chunk is 1 s."""
GIVE_UP = 180.0
"""Seconds of wall clock after which a single plan is no longer waited for."""
DELIVERY = 0.3
TAIL = 150_000_000
"""ns for which the clock runs on, so that the bridge sees the last frame too."""


class Listener(Protocol):
    """What the player needs to know of `robot_bridge.ros.node.BridgeNode`."""

    executor: Any
    perception: Any
    link: Any


class Player:
    """Publishes the topics of a bag that a bridge reads, and ``/clock``.

    Attributes:
        time: The clock, ns.
        undelivered: Messages that the bridge neither took nor refused in time.
    """

    def __init__(self, bag: Bag, context: Context, instruct: bool = True):
        """Create the publishers.

        Args:
            bag: A sound enough bag (`Bag.plannable`).
            context: Initialised rclpy context.
            instruct: Also play the recorded instructions.
        """
        self._bag = bag
        self._needed, types = bag.needed, bag.needed
        if instruct and bag.source(ros_names.INSTRUCTION).type == STRING:
            types[ros_names.INSTRUCTION] = STRING
        self._node = Node("vidplan_player", context=context)
        quality = QoSProfile(depth=10)
        self._publishers = {t: self._node.create_publisher(CLASSES[kind], t, quality) for t, kind in types.items()}
        self._clock = self._node.create_publisher(Clock, ros_names.CLOCK, quality)
        self.time = min(bag.source(name).first for name in self._needed) - LEAD
        self.undelivered = 0
        self._asked_at: int | None = None

    def meet(self, bridge: Listener, timeout: float) -> None:
        """Wait, with the clock at its start, until the bridge listens and has greeted its planner.

        Raises:
            BridgeError: It does not within ``timeout`` seconds, or somebody else tells the time.
        """
        deadline = time.monotonic() + timeout
        while not (bridge.link.ready and all(p.get_subscription_count() for p in self._publishers.values())):
            if time.monotonic() > deadline:
                what = "no planner answers" if not bridge.link.ready else "the bridge does not hear the player (DDS)"
                raise BridgeError(f"{what} after {timeout:.0f} s.")
            self._tell_time(self.time)
            time.sleep(0.05)
        if self._node.count_publishers(ros_names.CLOCK) > 1:
            raise BridgeError(
                f"another program publishes {ros_names.CLOCK} in this ROS domain; choose another one with --domain-id."
            )

    def play(self, bridge: Listener, progress: Callable[[float], object] = lambda seconds: None) -> None:
        """Play the bag to its end and wait for the last plan; ``progress`` gets the seconds of footage gone by."""
        for message in self._bag.messages(self._publishers):
            if message.topic in self._needed and decode(message) is None:
                continue  # ROS itself would fail on these bytes; the bag's problems name them
            before = self.time
            self._run_clock(message.log_time, bridge)
            progress((self.time - before) / 1e9)
            self._publishers[message.topic].publish(message.data)
            if message.topic in self._needed:
                self._await_delivery(message, bridge)
        self._run_clock(self.time + TAIL, bridge)
        self._await_plan(bridge)

    def close(self) -> None:
        """Leave ROS."""
        self._node.destroy_node()

    def _run_clock(self, until: int, bridge: Listener) -> None:
        """Move time to ``until`` (never backwards) at the recorded pace, waiting for plans that take too long."""
        while self.time < until:
            began, step = time.monotonic(), min(STEP, until - self.time)
            if not bridge.executor.planning:
                self._asked_at = None
            elif self._asked_at is None:
                self._asked_at = self.time
            elif self.time - self._asked_at >= PATIENCE:
                self._await_plan(bridge)
            self.time += step
            self._tell_time(self.time)
            time.sleep(max(0.0, step / 1e9 - (time.monotonic() - began)))

    def _await_plan(self, bridge: Listener) -> None:
        deadline = time.monotonic() + GIVE_UP
        while bridge.executor.planning:
            if not bridge.link.ready:
                raise BridgeError("the planner is gone in the middle of the replay; see its log.")
            if time.monotonic() > deadline:
                raise BridgeError(f"the planner has not answered for {GIVE_UP:.0f} s.")
            time.sleep(0.005)
        self._asked_at = None

    def _await_delivery(self, message: Recorded, bridge: Listener) -> None:
        """Wait until the bridge has taken or refused a message: what comes next must not overtake it."""
        stamp, refusals = message.stamp, sum(bridge.executor.rejected.values())
        deadline = time.monotonic() + DELIVERY
        while stamp is not None and not self._taken(message.topic, stamp, bridge):
            if sum(bridge.executor.rejected.values()) != refusals:
                return
            if time.monotonic() > deadline:
                self.undelivered += 1
                return
            time.sleep(0.0005)

    def _taken(self, topic: str, stamp: int, bridge: Listener) -> bool:
        if topic == ros_names.JOINT_STATES:
            joints = bridge.perception.joints()
            return joints is not None and joints.stamp >= stamp / 1e9 - 1e-6
        now = self.time / 1e9
        ages = bridge.perception.senses(now).camera_ages
        view = next(name for name in ros_names.CAMERAS if topic.startswith(ros_names.camera_topic(name)))
        return now - ages.get(view, float("inf")) >= stamp / 1e9 - 1e-6

    def _tell_time(self, nanoseconds: int) -> None:
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = divmod(nanoseconds, 1_000_000_000)
        self._clock.publish(clock)
