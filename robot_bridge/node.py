"""The bridge as a ROS 2 node: topics in, topics out, and nothing of the thinking.

Two rclpy nodes with an executor and a thread each: ``vidplan_bridge_sensors`` takes images and joint states,
``vidplan_bridge`` ticks at the control rate, publishes commands and status. A slow image never delays a command.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.context import Context
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String
from std_srvs.srv import Trigger

from plan_protocol.messages import Observation, Plan
from robot_bridge.backends.choose import choose
from robot_bridge.commanded import Command
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import ConfigError, ImageError
from robot_bridge.events import Event, event
from robot_bridge.executor import Executor
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.images import compressed_to_rgb, image_to_rgb
from robot_bridge.joint_states import JointReader
from robot_bridge.parameters import declare
from robot_bridge.perception import Perception
from robot_bridge.planner_link import PlannerLink
from robot_bridge.recording import RunRecorder
from robot_bridge.ros_messages import seconds
from robot_model.franka import franka
from robot_model.ros_names import INSTRUCTION, STATUS

STOP_SERVICE = "/vidplan/stop"
REARM_SERVICE = "/vidplan/rearm"
STATUS_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
WATCH_PERIOD = 0.02
"""Seconds of wall clock between two looks at the planner's connection."""

BRAKING_PATIENCE = 2.0
"""Seconds of wall clock that `close` waits for the arm to come to rest (a paused simulation never does)."""

logger = logging.getLogger(__name__)


class BridgeNode:
    """The running bridge. Create, `start`, and `close` it; `done` is set when its duration is over.

    Attributes:
        config: Settings after ROS parameters had their say.
        executor: The state machine (`Executor.planning`, `.plans`, `.rejected`, ...).
        done: Set when the configured duration is over.
    """

    def __init__(
        self,
        config: BridgeConfig,
        context: Context | None = None,
        recorder: RunRecorder | None = None,
        on_event: Callable[[Event], None] | None = None,
        ros_arguments: Sequence[str] = (),
    ) -> None:
        """Create it; nothing moves before `start`.

        Args:
            config: Settings; ROS parameters in ``ros_arguments`` win over them.
            context: An initialised rclpy context; None makes one and shuts it down at `close`.
            recorder: Keeps the run and is closed by `close`; None makes one where ``config.record`` says so.
            on_event: Called with every event, in the control thread.
            ros_arguments: ``--ros-args ...`` as on any ROS node's command line.

        Raises:
            ConfigError: A ROS parameter's value or a topic's name cannot be used.
            BridgeError: The record's directory cannot be written.
        """
        self._own_context = context is None
        self._context = context or Context()
        if self._own_context:
            rclpy.init(args=list(ros_arguments), context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self._on_event = on_event
        self._control = self._node("vidplan_bridge", config.use_sim_time)
        try:
            self.config = config = declare(self._control, config)
        except ParameterException as error:
            raise ConfigError("ROS parameters", str(error)) from error
        if recorder is None and config.record:
            recorder = RunRecorder(Path(config.record), config)
        self._recorder = recorder
        self._sensors = self._node("vidplan_bridge_sensors", config.use_sim_time)
        self.link = PlannerLink(config)
        self.perception = Perception(config, recorder.frame if recorder else None)
        self.executor = Executor(config, self.link, self.perception, self._tell, self._keep_plan)
        self.done = threading.Event()
        self._joint_names = franka(config.robot).joint_names
        self._reader = JointReader(config.robot)
        self._complaints: dict[str, str] = {}
        self._events_waiting: list[Event] = []
        self._began: float | None = None
        self._now = 0.0
        self._closed = False
        self._threads: list[threading.Thread] = []
        self._executors: list[SingleThreadedExecutor] = []
        self._connect_topics()

    def _node(self, name: str, sim_time: bool) -> Node:
        return Node(
            name, context=self._context, parameter_overrides=[Parameter("use_sim_time", value=True)] if sim_time else []
        )

    def _connect_topics(self) -> None:
        config, control, sensors = self.config, self._control, self._sensors
        for name, topic in config.camera_topics.items():
            compressed = topic.endswith("/compressed")
            take = partial(self._image, name, compressed_to_rgb if compressed else image_to_rgb)
            try:
                sensors.create_subscription(
                    CompressedImage if compressed else Image, topic, take, qos_profile_sensor_data
                )
            except NameValidationException as error:
                raise ConfigError("cameras", f"'{topic}' is no topic name: {error}") from error
        sensors.create_subscription(JointState, config.joint_topic, self._joint_state, qos_profile_sensor_data)
        control.create_subscription(String, INSTRUCTION, self._instruct, 10)
        control.create_service(Trigger, STOP_SERVICE, self._stop_called)
        control.create_service(Trigger, REARM_SERVICE, self._rearm_called)
        self._status = control.create_publisher(String, STATUS, STATUS_QOS)
        self._arm, self._gripper = choose(config, control, self._clock)
        # A player of recordings stops its clock while a plan is being made, so a dry run ticks by the wall clock.
        clock = Clock(clock_type=ClockType.STEADY_TIME) if config.dry_run else None
        control.create_timer(config.control_period, self._tick, clock=clock)
        # The loss of the planner does not wait for the next tick, whatever the pace of the clock.
        control.create_timer(WATCH_PERIOD, self._watch_planner, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def start(self) -> None:
        """Connect to the planner and begin to tick.

        Raises:
            ProtocolError: The server address cannot be used.
            BackendError: The robot cannot be reached.
        """
        self.link.start()
        self._arm.start(self.perception.add_joints)
        for node in (self._sensors, self._control):
            executor = SingleThreadedExecutor(context=self._context)
            executor.add_node(node)
            thread = threading.Thread(target=_spin, args=(executor,), name=node.get_name(), daemon=True)
            self._executors.append(executor)
            self._threads.append(thread)
            thread.start()

    def close(self) -> dict[str, Any]:
        """Bring the arm to rest, finish the record, leave ROS.

        Returns:
            The run's summary.
        """
        if self._closed:
            return self.summary()
        self._closed = True
        self.executor.stop(Finding(Reason.STOPPED, "the bridge is ending"))
        patience = time.monotonic() + BRAKING_PATIENCE
        while self._threads and not self._stands_still() and time.monotonic() < patience:
            time.sleep(0.02)
        for executor in self._executors:
            executor.shutdown(timeout_sec=1.0)
        for thread in self._threads:
            thread.join(timeout=2.0)
        self._arm.close()
        self._gripper.close()
        summary = self.summary()
        self._publish(event("finished", self._now, **summary))
        self.link.close()
        for node in (self._sensors, self._control):
            node.destroy_node()
        if self._own_context:
            rclpy.try_shutdown(context=self._context)
        if self._recorder:
            self._recorder.close(summary)
        return summary

    def summary(self) -> dict[str, Any]:
        """Figures of the run so far."""
        latencies = self.executor.latencies_ms
        return {
            "plans": self.executor.plans,
            "seconds": round(self._now - self._began, 3) if self._began is not None else 0.0,
            "median_plan_ms": round(float(np.median(latencies)), 1) if latencies else None,
            "p95_plan_ms": round(float(np.percentile(latencies, 95)), 1) if latencies else None,
            "rejected": dict(self.executor.rejected),
            "holds": self.executor.holds,
        }

    def _stands_still(self) -> bool:
        return self.executor.stopped and self.executor.at_rest

    # --- sensors' thread ------------------------------------------------------------------------------------------

    def _image(self, name: str, convert: Callable[[Any], np.ndarray], message: Any) -> None:
        try:
            image = convert(message)
        except ImageError as error:
            self._complain(f"camera '{name}'", "image", str(error))
            return
        reason = self.perception.add_image(name, seconds(message.header.stamp), image)
        if reason:
            self._complain(f"camera '{name}'", reason.value, f"a frame was refused: {reason.value}")

    def _joint_state(self, message: JointState) -> None:
        stamp = seconds(message.header.stamp)
        sample = self._reader.read(stamp, message.name, message.position, message.velocity)
        if sample is None:
            if self._reader.unknown:
                names = ", ".join(self._reader.unknown[:3])
                self._complain("joint states", "joints_missing", f"no {self._joint_names[0]}.. in them, but {names} ..")
            return
        reason = self.perception.add_joints(sample)
        if reason:
            self._complain("joint states", reason.value, f"a joint state was refused: {reason.value}")

    def _complain(self, where: str, reason: str, detail: str) -> None:
        """Count every refused message; say each kind of trouble once."""
        self.executor.rejected[reason] += 1
        if self._complaints.get(where) != reason:
            self._complaints[where] = reason
            self._events_waiting.append(event("reject", self._now, reason=reason, detail=f"{where}: {detail}"))

    # --- control thread -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._now = now = self._clock()
        if now <= 0.0:  # simulated time has not begun
            return
        if self._began is None:
            self._began = now
            self._tell(
                event("started", now, detail=f"{self.config.robot}, {'dry run' if self.config.dry_run else 'live'}")
            )
        elif now < self._began:  # simulated time was set back
            self._began = now
        while self._events_waiting:
            self._publish(self._events_waiting.pop(0))
        try:
            trouble = self._arm.trouble() or self._gripper.trouble()
            if trouble:
                self.executor.rejected[trouble.reason.value] += 1
                self.executor.stop(trouble)
            for command in self.executor.tick(now):
                self._send(command)
        except Exception as error:
            # Whatever went wrong, the arm stops by itself at the end of what it was sent last.
            logger.exception("the control tick failed")
            self.executor.stop(Finding(Reason.STOPPED, f"internal error: {error!r}"))
        if self.config.duration and now - self._began >= self.config.duration:
            self.done.set()

    def _clock(self) -> float:
        return self._control.get_clock().now().nanoseconds * 1e-9

    def _watch_planner(self) -> None:
        if self.link.lost:
            self._tick()

    def _send(self, command: Command) -> None:
        sent = command.trajectory is not None and not self.config.dry_run
        if command.trajectory is not None:
            self._arm.send(command.trajectory)
        if command.gripper is not None:
            self._gripper.send(command.gripper)
        if self._recorder:
            self._recorder.command(command, sent)

    def _tell(self, happened: Event) -> None:
        self._publish(happened)
        if self._recorder and happened["event"] in ("connected", "server_back") and self.link.spec is not None:
            self._recorder.spec(self.link.spec)

    def _publish(self, happened: Event) -> None:
        self._status.publish(String(data=json.dumps(happened)))
        if self._recorder:
            self._recorder.event(happened)
        if self._on_event:
            self._on_event(happened)

    def _keep_plan(self, number: int, observation: Observation, plan: Plan) -> None:
        if self._recorder:
            self._recorder.plan(number, observation, plan)

    def _instruct(self, message: String) -> None:
        self.executor.instruct(message.data.strip())
        if self._recorder:
            self._recorder.instruction(message.data.strip())

    def _stop_called(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.executor.stop(Finding(Reason.STOPPED, f"asked for through {STOP_SERVICE}"))
        response.success, response.message = True, f"stopping; call {REARM_SERVICE} to go on"
        return response

    def _rearm_called(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        finding = self.executor.rearm()
        response.success = finding is None
        response.message = f"not re-armed ({finding.reason}): {finding.detail}" if finding else "re-armed"
        return response


def _spin(executor: SingleThreadedExecutor) -> None:
    try:
        executor.spin()
    except ExternalShutdownException:
        logger.info("ROS was shut down from outside")
