"""The simulated cell over ROS topics, in a domain of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from robot_bridge.experiment.cell import TaskState
from robot_bridge.experiment.errors import ExperimentError
from robot_model.ros_names import SIM_TASK, SIM_TASK_STATE

SILENCE = 60.0
"""Seconds of wall clock after which a cell that says nothing is given up."""
SPIN = 0.2


class RosCell:
    """Sees and resets the cell of one ROS domain; for one thread. See `robot_bridge.experiment.cell.Cell`."""

    def __init__(self, domain: int, check: Callable[[], object]) -> None:
        """Join the domain.

        Args:
            domain: ROS domain id.
            check: Called while it waits; raises when waiting makes no sense any more.
        """
        self._check = check
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain, signal_handler_options=SignalHandlerOptions.NO)
        self._node = Node("vidplan_trials", context=self._context, enable_rosout=False)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._tasks = self._node.create_publisher(String, SIM_TASK, 1)
        self._node.create_subscription(String, SIM_TASK_STATE, self._hear, latched)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._newest: TaskState | None = None
        self._heard = 0

    def reset(self, task: str, seed: int) -> TaskState:
        """See `Cell.reset`."""
        before = self.next().episode
        self._wait(lambda: self._tasks.get_subscription_count() > 0, "does not listen for tasks")
        self._tasks.publish(String(data=json.dumps({"task": task, "seed": seed})))
        self._wait(
            lambda: self._newest is not None and self._newest.episode > before, f"did not lay the table of '{task}'"
        )
        state = self._newest
        if state is None or (state.task, state.seed) != (task, seed):
            raise ExperimentError(f"asked the cell for {task} with seed {seed}, got {state}.")
        return state

    def next(self) -> TaskState:
        """See `Cell.next`."""
        heard = self._heard
        self._wait(lambda: self._heard > heard, "fell silent")
        assert self._newest is not None
        return self._newest

    def close(self) -> None:
        """Leave ROS."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _hear(self, message: String) -> None:
        self._newest = TaskState.read(message.data)
        self._heard += 1

    def _wait(self, met: Callable[[], bool], trouble: str) -> None:
        deadline = time.monotonic() + SILENCE
        while not met():
            self._check()
            if time.monotonic() > deadline:
                raise ExperimentError(f"the simulated cell {trouble} for {SILENCE:.0f} s; its log tells more.")
            self._executor.spin_once(timeout_sec=SPIN)
