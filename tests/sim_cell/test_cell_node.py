# ruff: noqa: E402 (everything below the first importorskip needs ROS 2)
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="the node needs ROS 2")

from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robot_model import ros_names
from robot_model.franka import PANDA
from robot_model.gripper import KNUCKLE_JOINT
from sim_cell.cell import HOME_JOINTS

DOMAIN = 20 + os.getpid() % 200
ROOT = Path(__file__).resolve().parents[2]


class Listener:
    """Another process's view of the simulated cell: the newest message of each topic."""

    def __init__(self):
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = rclpy.create_node("listener", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.images: dict[str, list[Image]] = {name: [] for name in ros_names.CAMERAS}
        self.infos: list[CameraInfo] = []
        self.joints: list[JointState] = []
        self.clocks: list[Clock] = []
        self.truths: list[dict] = []
        self.task_states: list[dict] = []
        for name in ros_names.CAMERAS:
            self.listen(Image, ros_names.camera_topic(name), self.images[name].append)
        self.listen(CameraInfo, ros_names.camera_info_topic("wrist"), self.infos.append)
        self.listen(JointState, ros_names.JOINT_STATES, self.joints.append)
        self.listen(Clock, ros_names.CLOCK, self.clocks.append)
        self.listen(String, ros_names.SIM_TRUTH, lambda message: self.truths.append(json.loads(message.data)))
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.node.create_subscription(
            String, "/sim/task_state", lambda message: self.task_states.append(json.loads(message.data)), latched
        )
        self.task = self.node.create_publisher(String, "/sim/task", 10)
        self.arm = self.node.create_publisher(JointTrajectory, ros_names.arm_topic("panda"), 10)
        self.gripper = self.node.create_publisher(Float64MultiArray, ros_names.GRIPPER_COMMANDS, 10)
        self.reset_client = self.node.create_client(Trigger, ros_names.SIM_RESET)
        self.parameters = AsyncParameterClient(self.node, "sim_cell")

    def listen(self, kind, topic, callback) -> None:
        self.node.create_subscription(kind, topic, callback, qos_profile_sensor_data)

    def wait(self, condition, what: str, timeout: float = 40.0) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
            self.executor.spin_once(timeout_sec=0.05)

    def reset(self, seed: int) -> tuple[dict, dict[str, np.ndarray]]:
        """Reset to a seed; the service's answer and the pictures of that very moment."""
        setting = self.parameters.set_parameters([Parameter("seed", value=seed)])
        self.wait(setting.done, "the seed parameter")
        call = self.reset_client.call_async(Trigger.Request())
        self.wait(call.done, "the reset")
        assert call.result().success, call.result().message
        answer = json.loads(call.result().message)

        def first(name: str) -> Image | None:
            return next((image for image in self.images[name] if seconds(image.header.stamp) >= answer["t"]), None)

        self.wait(lambda: all(first(name) for name in self.images), "pictures after the reset")
        return answer, {name: pixels(first(name)) for name in self.images}

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)


def seconds(stamp) -> float:
    return stamp.sec + stamp.nanosec * 1e-9


def pixels(image: Image) -> np.ndarray:
    return np.frombuffer(image.data, np.uint8).reshape(image.height, image.width, 4)


@pytest.fixture(scope="module")
def process():
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    environment["ROS_PYTHON_CHECK_FIELDS"] = "1"
    command = [sys.executable, "-m", "vidplan", "sim", "--width", "80", "--height", "48", "--target", "carrot"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def listener(process):
    listener = Listener()
    listener.wait(lambda: all(listener.images.values()) and listener.joints and listener.truths, "the node to be up")
    yield listener
    listener.close()


def test_it_publishes_what_a_robot_and_its_cameras_publish(listener):
    listener.wait(lambda: all(len(images) >= 3 for images in listener.images.values()), "pictures")
    for name, images in listener.images.items():
        image = images[-1]
        assert (image.encoding, image.width, image.height, image.step) == ("bgra8", 80, 48, 320)
        assert name in image.header.frame_id
        assert (pixels(image)[..., 3] == 255).all()
        stamps = np.array([seconds(each.header.stamp) for each in images])
        # Best effort: a picture may be lost, but every one is on the 5 Hz grid.
        assert np.abs(np.diff(stamps) / 0.2 - np.round(np.diff(stamps) / 0.2)).max() < 1e-6
    left = pixels(listener.images["left"][-1]).astype(int)
    assert (left[..., 2] - left[..., 0])[24:, :].mean() > 20, "the brown table should be more red than blue in BGRA"

    state = listener.joints[-1]
    assert list(state.name) == [*PANDA.joint_names, KNUCKLE_JOINT]
    np.testing.assert_allclose(state.position[:7], HOME_JOINTS, atol=0.01)
    assert len(state.velocity) == 8
    stamps = np.array([seconds(each.header.stamp) for each in listener.joints])
    assert np.median(np.diff(stamps)) < 1 / 30
    assert np.isclose(np.array([seconds(each.clock) for each in listener.clocks]), stamps[-1], atol=0.5).any()

    listener.wait(lambda: listener.infos, "camera_info")
    assert (listener.infos[-1].width, listener.infos[-1].k[2]) == (80, 40.0)
    assert listener.truths[-1]["target"] == "carrot"


def test_a_trajectory_moves_the_arm_to_where_it_was_told(listener):
    goal = HOME_JOINTS + np.array([0.15, 0.1, 0.0, 0.1, 0.0, 0.1, -0.2])
    point = JointTrajectoryPoint(positions=goal.tolist(), velocities=[0.0] * 7)
    point.time_from_start.sec = 1
    message = JointTrajectory(joint_names=list(PANDA.joint_names), points=[point])
    listener.wait(lambda: listener.arm.get_subscription_count() > 0, "the arm controller")
    listener.arm.publish(message)
    listener.gripper.publish(Float64MultiArray(data=[0.4]))

    def there() -> bool:
        position = np.array(listener.joints[-1].position)
        return np.abs(position[:7] - goal).max() < 0.005 and abs(position[7] - 0.4) < 0.02

    listener.wait(there, "the arm and gripper to get there")


def test_reset_with_the_same_seed_gives_the_same_first_pictures(listener):
    first_answer, first = listener.reset(7)
    _, other = listener.reset(8)
    again_answer, again = listener.reset(7)
    for name in first:
        # One level: the camera's next tick is up to a period after the reset, and the arm settles meanwhile.
        np.testing.assert_allclose(first[name].astype(int), again[name].astype(int), atol=1)
        assert (first[name] != other[name]).any()
    assert first_answer["visible"] == again_answer["visible"]
    assert again_answer["t"] > first_answer["t"], "the clock never goes back"


def test_a_task_is_set_up_and_followed(listener):
    before = len(listener.task_states)  # the newest one may be from before the last reset
    listener.wait(lambda: len(listener.task_states) >= before + 3, "the state of the task")
    episode = listener.task_states[-1]["episode"]
    listener.task.publish(String(data='{"task": "tape", "seed": 3}'))
    listener.wait(lambda: listener.task_states[-1]["task"] == "tape", "the task's scene")
    state = listener.task_states[-1]
    assert (state["seed"], state["episode"], state["target"]) == (3, episode + 1, "measuring tape")
    assert (state["success"], state["first_touched"], state["touched_by"]) == (False, None, None)
    seen = len(listener.task_states)
    listener.wait(lambda: len(listener.task_states) >= seen + 5, "more states")
    times = np.array([state["time"] for state in listener.task_states[seen:]])
    steps = np.diff(times) / 0.2  # a busy listener may lose some, but every one is on the 5 Hz grid
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-5)
    assert (steps > 0.5).all()
    assert {"measuring tape", "red cube", "purple cup"} < set(listener.truths[-1]["objects"])

    listener.task.publish(String(data='{"task": "banana", "seed": 3}'))
    seen = len(listener.task_states)
    listener.wait(lambda: len(listener.task_states) >= seen + 5, "the node to go on")
    assert listener.task_states[-1]["episode"] == episode + 1, "what is not understood resets nothing"


def test_wrong_commands_are_refused_with_a_message_and_a_signal_ends_the_node(listener, process):
    listener.arm.publish(JointTrajectory(joint_names=["elbow"], points=[JointTrajectoryPoint(positions=[0.0])]))
    listener.gripper.publish(Float64MultiArray(data=[float("nan")]))
    listener.task.publish(String(data='{"task": "banana", "seed": 3}'))
    seen = len(listener.truths)
    listener.wait(lambda: len(listener.truths) > seen + 10, "the node to go on")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert "joint names ['elbow']" in errors
    assert "one finite angle" in errors
    assert "there is no task 'banana'; choose one of: tape, fish, pea, carrot, towel" in errors
    assert "Traceback" not in errors
