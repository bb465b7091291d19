"""A cell on real ROS topics without physics: three cameras, joint states, an arm that follows what it is sent."""

from __future__ import annotations

import json
import threading
import time
from array import array

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String
from trajectory_msgs.msg import JointTrajectory

from robot_bridge.execution.trajectory import Schedule
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import PANDA
from robot_model.gripper import KNUCKLE_JOINT
from robot_model.ros_names import (
    CAMERAS,
    GRIPPER_COMMANDS,
    JOINT_STATES,
    STATUS,
    arm_topic,
    camera_topic,
)


class RosCell:
    """Publishes in real time from a thread of its own; remembers what it was sent."""

    def __init__(self, context: Context, picture: tuple[int, int] = (24, 40)) -> None:
        self.node = Node("fake_cell", context=context)
        self.cameras = {
            name: self.node.create_publisher(Image, camera_topic(name), qos_profile_sensor_data) for name in CAMERAS
        }
        self.states = self.node.create_publisher(JointState, JOINT_STATES, 10)
        self.node.create_subscription(JointTrajectory, arm_topic("panda"), self._command, 10)
        self.node.create_subscription(Float64MultiArray, GRIPPER_COMMANDS, self._grip, 10)
        transient = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_subscription(String, STATUS, lambda m: self.events.append(json.loads(m.data)), transient)
        self.node.create_timer(1 / 15, self._publish_images)
        self.node.create_timer(1 / 30, self._publish_joints)
        self.trajectories: list[JointTrajectory] = []
        self.gripper_commands: list[float] = []
        self.events: list[dict] = []
        self.message = Schedule.resting(0.0, DROID_RESET_JOINTS)
        self.cameras_on = True
        self.picture, self.pixels = picture, array("B", bytes(4 * picture[0] * picture[1]))
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.thread.start()

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except ExternalShutdownException:
            return

    def close(self) -> None:
        self.executor.shutdown(timeout_sec=1.0)
        self.thread.join(timeout=2.0)
        self.node.destroy_node()

    def now(self) -> float:
        return self.node.get_clock().now().nanoseconds * 1e-9

    def stamp(self, seconds: float) -> Time:
        return Time(sec=int(seconds), nanosec=int(seconds % 1 * 1e9))

    def speed(self) -> float:
        return float(np.abs(self.message.state(self.now())[1]).max())

    def wait_for(self, condition, seconds: float = 60.0) -> float:
        """Wall seconds until something holds."""
        begin = time.monotonic()
        while not condition():
            assert time.monotonic() - begin < seconds, f"not within {seconds} s; events: {self.events[-5:]}"
            time.sleep(0.005)
        return time.monotonic() - begin

    def heard(self, name: str) -> list[dict]:
        return [event for event in self.events if event["event"] == name]

    def _publish_images(self) -> None:
        if not self.cameras_on:
            return
        stamp, (rows, columns) = self.stamp(self.now()), self.picture
        for publisher in self.cameras.values():
            image = Image(height=rows, width=columns, encoding="bgra8", step=4 * columns, data=self.pixels)
            image.header.stamp = stamp
            publisher.publish(image)

    def _publish_joints(self) -> None:
        now = self.now()
        q, v = self.message.state(now)
        state = JointState(name=[*PANDA.joint_names, KNUCKLE_JOINT], position=[*q, 0.0], velocity=[*v, 0.0])
        state.header.stamp = self.stamp(now)
        self.states.publish(state)

    def _command(self, message: JointTrajectory) -> None:
        begin = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        q, v = self.message.state(begin)
        after = [p.time_from_start.sec + p.time_from_start.nanosec * 1e-9 for p in message.points]
        self.trajectories.append(message)
        self.message = Schedule(
            np.array([begin, *(begin + seconds for seconds in after)]),
            np.array([q, *(p.positions for p in message.points)]),
            np.array([v, *(p.velocities for p in message.points)]),
        )

    def _grip(self, message: Float64MultiArray) -> None:
        self.gripper_commands.append(message.data[0])
