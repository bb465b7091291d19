"""The cell as an ordinary ROS 2 node: what a franka_ros2 arm, a Robotiq gripper and three ZED cameras would publish.

Physics, pictures and publishing run in the main thread. Callbacks run in one executor thread and only fill a queue, so
that commands take effect between physics steps.
"""

from __future__ import annotations

import json
import queue
import signal
import threading
import time
from collections.abc import Callable

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from robot_model import ros_names
from sim_cell.errors import InvalidTaskError, InvalidTrajectoryError, SimCellError
from sim_cell.live import LiveCell
from sim_cell.messages import camera_info_message, image_message, joint_state_message, read_trajectory, stamp
from sim_cell.scene import PHYSICS_RATE
from sim_cell.tasks import read_request

JOINT_STATE_RATE = 60  # Hz of the robot's clock, as all rates here
TRUTH_RATE = 10
TASK_STATE_RATE = 5
BEHIND = 0.15  # seconds behind the wall clock that are made up for; what is more is given up
RESET_TIMEOUT = 30.0  # seconds

SENSOR_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE_QOS = QoSProfile(depth=10)
LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class SimCellNode(Node):
    """Publishes and obeys for a `LiveCell`; `run` drives it."""

    def __init__(self, live: LiveCell, camera_rate: int, real_time_factor: float, target: str | None):
        super().__init__("sim_cell")
        self.live, self.real_time_factor = live, real_time_factor
        self._steps_per_image = PHYSICS_RATE // camera_rate
        self._image_phase = live.steps
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.declare_parameter("seed", live.seed)
        self.declare_parameter("target", target or "")

        topics = {name: ros_names.camera_topic(name) for name in ros_names.CAMERAS}
        infos = {name: ros_names.camera_info_topic(name) for name in ros_names.CAMERAS}
        self._images = {name: self.create_publisher(Image, topic, SENSOR_QOS) for name, topic in topics.items()}
        self._infos = {name: self.create_publisher(CameraInfo, topic, SENSOR_QOS) for name, topic in infos.items()}
        self._joint_states = self.create_publisher(JointState, ros_names.JOINT_STATES, RELIABLE_QOS)
        self._clock_publisher = self.create_publisher(Clock, ros_names.CLOCK, QoSProfile(depth=1))
        self._truth = self.create_publisher(String, ros_names.SIM_TRUTH, RELIABLE_QOS)
        self._task_state = self.create_publisher(String, ros_names.SIM_TASK_STATE, LATCHED_QOS)
        arm_topic = ros_names.arm_topic(live.franka.name)
        self.create_subscription(JointTrajectory, arm_topic, self._on_trajectory, RELIABLE_QOS)
        self.create_subscription(Float64MultiArray, ros_names.GRIPPER_COMMANDS, self._on_gripper, RELIABLE_QOS)
        self.create_subscription(String, ros_names.SIM_TASK, self._on_task, RELIABLE_QOS)
        self.create_service(Trigger, ros_names.SIM_RESET, self._on_reset)

    def run(self, stop: threading.Event) -> None:
        """Simulate and publish at the real-time factor, or slower where the machine is, until ``stop`` is set."""
        wall, steps = time.monotonic(), self.live.steps
        while not stop.is_set():
            self._work_off_inbox()
            self._publish_due()
            self.live.advance()
            ahead = (self.live.steps - steps) / PHYSICS_RATE / self.real_time_factor - (time.monotonic() - wall)
            if ahead > 0:
                time.sleep(ahead)
            elif ahead < -BEHIND:  # too slow a machine: the robot's clock falls behind, no physics is left out
                wall, steps = time.monotonic(), self.live.steps

    def _publish_due(self) -> None:
        live, when = self.live, stamp(self.live.nanoseconds)
        if live.steps % (PHYSICS_RATE // JOINT_STATE_RATE) == 0:
            self._clock_publisher.publish(Clock(clock=when))
            self._joint_states.publish(joint_state_message(live, when))
        if live.steps % (PHYSICS_RATE // TRUTH_RATE) == 0:
            self._truth.publish(String(data=json.dumps(live.report())))
        if live.steps % (PHYSICS_RATE // TASK_STATE_RATE) == 0:
            self._publish_task_state()
        if (live.steps - self._image_phase) % self._steps_per_image == 0:
            views, calibrations = live.cell.render(), live.cell.calibrations()
            for name in ros_names.CAMERAS:
                self._images[name].publish(image_message(name, views[name].image, when))
                self._infos[name].publish(camera_info_message(name, calibrations[name], when))

    def _publish_task_state(self) -> None:
        self._task_state.publish(String(data=json.dumps(self.live.task_state())))

    def _work_off_inbox(self) -> None:
        while not self._inbox.empty():
            self._inbox.get()()

    def _on_trajectory(self, message: JointTrajectory) -> None:
        self._inbox.put(lambda: self._try(lambda: self.live.follow(read_trajectory(message, self.live))))

    def _on_gripper(self, message: Float64MultiArray) -> None:
        self._inbox.put(lambda: self._try(lambda: self.live.command_gripper(list(message.data))))

    def _on_task(self, message: String) -> None:
        def reset() -> None:
            try:
                task, seed = read_request(message.data)
            except InvalidTaskError as error:
                self.get_logger().error(f"{ros_names.SIM_TASK} rejected, nothing was reset: {error}")
                return
            self.live.reset_to_task(task, seed)
            self._image_phase = self.live.steps
            self._publish_task_state()

        self._inbox.put(reset)

    def _try(self, command: Callable[[], None]) -> None:
        try:
            command()
        except InvalidTrajectoryError as error:
            self.get_logger().warning(f"command rejected: {error}")

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        done = threading.Event()

        def reset() -> None:
            try:
                seed = self.get_parameter("seed").value
                self.live.reset(seed, self.get_parameter("target").value or None)
                self._image_phase = self.live.steps
                cell = self.live.cell
                answer = {"t": self.live.time, "seed": seed, "target": cell.target, "visible": cell.visible}
                response.success, response.message = True, json.dumps(answer)
            except (SimCellError, ValueError) as error:
                response.success, response.message = False, str(error)
            done.set()

        self._inbox.put(reset)
        if not done.wait(RESET_TIMEOUT):
            response.success, response.message = False, f"the simulation did not answer within {RESET_TIMEOUT:.0f} s"
        return response


def run_node(live: LiveCell, camera_rate: int, real_time_factor: float, target: str | None) -> None:
    """Run the node until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)  # its own handlers would shut down in mid-publish
    node = SimCellNode(live, camera_rate, real_time_factor, target)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinner = threading.Thread(target=executor.spin, daemon=True)
    spinner.start()
    node.get_logger().info(
        f"simulated cell is up: seed {live.seed}, target {live.cell.target}, on the table: "
        + ", ".join(live.cell.visible)
    )
    node.run(stop)
    executor.shutdown()
    spinner.join(2.0)
    node.destroy_node()
    rclpy.shutdown()
