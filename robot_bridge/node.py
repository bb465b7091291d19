"""The bridge as a ROS 2 lifecycle node: topics in, topics out, transitions; nothing of the thinking.

``vidplan_bridge`` is the managed node: it ticks at the control rate, takes stops and says what happens. Sensors, the
ways to the robot and tasks have nodes and threads of their own, so that a slow image never delays a command.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String
from std_srvs.srv import Trigger

from plan_protocol.errors import ProtocolError
from robot_bridge.backends.choose import choose, choose_recovery
from robot_bridge.backends.recovery_desk import RecoveryDesk
from robot_bridge.config import BridgeConfig
from robot_bridge.core import Core
from robot_bridge.diagnostics import examine
from robot_bridge.errors import BridgeError, ConfigError, PlannerError
from robot_bridge.events import Event, event
from robot_bridge.executor import Executor
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.meeting import meet
from robot_bridge.parameters import Settings
from robot_bridge.perception import Perception
from robot_bridge.plan_topics import PlanTopics
from robot_bridge.planner_link import PlannerLink
from robot_bridge.recording import RunRecorder
from robot_bridge.ros_edge import (
    LATCHED_QOS,
    SENSOR_QOS,
    ManagedNode,
    Spinner,
    plain_node,
    sim_time_override,
    steady_timer,
)
from robot_bridge.ros_messages import diagnostic_message
from robot_bridge.sensor_topics import subscribe
from robot_bridge.task.ros_edge import TaskEdge, messages
from robot_bridge.topics import DIAGNOSTICS, NODE, REARM_SERVICE, RECOVER_SERVICE, STOP_SERVICE
from robot_model.ros_names import INSTRUCTION, STATUS

WATCH_PERIOD = 0.02
"""Seconds of wall clock between two looks at the planner's connection."""

HEALTH_PERIOD = 1.0
RETRY_PAUSE = 1.0
"""Seconds between two attempts of autostart to configure."""

TOPIC_BACKENDS = ("joint_trajectory", "forward_position", "sim")
"""Backends whose listeners can be counted."""

logger = logging.getLogger(__name__)


class BridgeNode:
    """The running bridge. Create, `start`, and `close` it; `done` is set when its duration is over.

    With ``autostart`` it configures itself (again and again, until the planner is there and fits) and activates itself;
    otherwise it waits for the transitions. It holds one `Core` per configuration.

    Attributes:
        config: Settings after ROS parameters had their say.
        done: Set when the configured duration is over, the node was shut down, or it cannot come up.
        failure: Why it cannot come up, where trying again would not help.
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
            recorder: Keeps the run and is closed by `close`; None makes one where the setting ``record`` says so.
            on_event: Called with every event, in the thread where it happens.
            ros_arguments: ``--ros-args ...`` as on any ROS node's command line.

        Raises:
            ConfigError: A ROS parameter's value cannot be used (with autostart; otherwise configuring says so).
        """
        self._own_context = context is None
        self._context = context or Context()
        if self._own_context:
            rclpy.init(args=list(ros_arguments), context=self._context, signal_handler_options=SignalHandlerOptions.NO)
        self.done = threading.Event()
        self.failure: BridgeError | None = None
        self._on_event, self._recorder = on_event, recorder
        self._recording = config.record if recorder else ""
        self._core: Core | None = None
        self._configured: Core | None = None
        self._parts: list[Spinner] = []
        self._timers: list[Any] = []
        self._plan_topics: PlanTopics | None = None
        self._closing = threading.Event()
        self._closed = False
        self._refusal: BridgeError | None = None
        self._starter: threading.Thread | None = None
        overrides = sim_time_override(config.use_sim_time)
        self._control = ManagedNode(NODE, self, context=self._context, parameter_overrides=overrides)
        self._settings = Settings(self._control, config, lambda: self._configured is None)
        self.config = self._settings.config() if self._settings.value("autostart") is True else config
        self._spinner = Spinner(self._control, self._context)
        self._tasks: Spinner | None = None
        self._task_edge: TaskEdge | None = None
        self._offer()

    def _offer(self) -> None:
        """What is there in every state of the lifecycle."""
        control = self._control
        self._status = control.create_publisher(String, STATUS, LATCHED_QOS)
        self._health = control.create_publisher(DiagnosticArray, DIAGNOSTICS, 10)
        control.create_subscription(String, INSTRUCTION, self._instruct, 10)
        control.create_service(Trigger, STOP_SERVICE, self._stop_called)
        control.create_service(Trigger, REARM_SERVICE, self._rearm_called)
        control.create_service(Trigger, RECOVER_SERVICE, self._recover_called)
        steady_timer(control, HEALTH_PERIOD, self._examine)
        types = messages()
        if types:
            node = plain_node(f"{NODE}_task", self._context, self.config.use_sim_time)
            self._tasks = Spinner(node, self._context)
            self._task_edge = TaskEdge(self._tasks, types, lambda: self._configured)

    @property
    def link(self) -> PlannerLink:
        """Connection to the planner, of the newest configuration."""
        return self._newest().link

    @property
    def perception(self) -> Perception:
        """What is seen and felt, of the newest configuration."""
        return self._newest().perception

    @property
    def executor(self) -> Executor:
        """The state machine of the newest configuration."""
        return self._newest().executor

    @property
    def state(self) -> str:
        """Lifecycle state: ``unconfigured``, ``inactive``, ``active``, ``finalized``."""
        return self._control.label

    def _newest(self) -> Core:
        if self._core is None:
            raise BridgeError("the bridge has not been configured yet")
        return self._core

    def start(self) -> None:
        """Begin to spin; with autostart, configure and activate in the background.

        Raises:
            BridgeError: A setting cannot be used, or the record's directory cannot be written.
        """
        if self.config.autostart:
            self._core = self._make_core()
            self._starter = threading.Thread(target=self._come_up, name="autostart", daemon=True)
        self._spinner.start()
        if self._tasks:
            self._tasks.start()
        if self._starter:
            self._starter.start()

    def close(self) -> dict[str, Any]:
        """Bring the arm to rest, finish the record, leave ROS.

        Returns:
            The run's summary.
        """
        if self._closed:
            return self.summary()
        self._closed = True
        self._closing.set()
        if self._starter:
            self._starter.join(timeout=10.0)
        if self._configured:
            self._configured.executor.stop(Finding(Reason.STOPPED, "the bridge is ending"))
            self._configured.come_to_rest()
        summary = self.summary()
        self._publish(event("finished", self._core.now if self._core else 0.0, **summary))
        self.release()
        for spinner in (self._tasks, self._spinner):
            if spinner:
                spinner.close()
        if self._own_context:
            rclpy.try_shutdown(context=self._context)
        if self._recorder:
            self._recorder.close(summary)
        return summary

    def summary(self) -> dict[str, Any]:
        """Figures of the run so far."""
        if self._core is None:
            return {"plans": 0, "seconds": 0.0, "median_plan_ms": None, "p95_plan_ms": None, "rejected": {}, "holds": 0}
        return self._core.summary()

    # --- transitions ----------------------------------------------------------------------------------------------

    def configure(self) -> None:
        """Check the settings, greet the planner and compare it with this robot, connect robot and sensors."""
        prepared = self._core if self._core is not None and self._core.fresh else None
        self._core = core = prepared or self._make_core()
        core.fresh = False
        try:
            core.executor.hear(meet(core.link, core.config, self._closing, self._say_waiting))
            self._connect(core)
        except BaseException:
            self._configured = core
            self.release()
            raise

    def activate(self) -> None:
        """Allow motion."""
        if self._configured:
            self._configured.executor.activate()

    def deactivate(self) -> None:
        """Brake and hold."""
        if self._configured:
            self._configured.executor.deactivate()

    def cleanup(self) -> None:
        """Let go of robot, sensors and planner, once the arm stands still."""
        if self._configured:
            self._configured.come_to_rest()
            if not self._configured.executor.at_rest:
                raise BridgeError("the arm still moves; clean up once it stands still")
        self.release()

    def shutdown(self) -> None:
        """Bring the arm to rest, let go of everything, end the program."""
        if self._configured:
            self._configured.executor.deactivate()
            self._configured.come_to_rest()
        self.release()
        self.done.set()

    def release(self) -> None:
        """Let go of everything that was configured."""
        core, self._configured = self._configured, None
        for timer in self._timers:
            self._control.destroy_timer(timer)
        self._timers = []
        if core:
            core.close()
        for part in self._parts:
            part.close()
        self._parts = []
        if self._plan_topics:
            self._plan_topics.close()
        self._plan_topics = None

    def refused(self, transition: str, error: BridgeError) -> None:
        """Say why a transition was not made, once."""
        if str(error) != str(self._refusal):
            self._control.get_logger().error(f"{transition}: {error}")
            self._publish(event("transition_refused", self._clock(), detail=f"{transition}: {error}"))
        self._refusal = error

    def _make_core(self) -> Core:
        self.config = config = self._settings.config()
        core = Core(config, self._clock, self._publish, self._recorder_of(config))
        try:
            core.link.start()
        except ProtocolError as error:
            raise ConfigError("server", str(error)) from error
        return core

    def _recorder_of(self, config: BridgeConfig) -> RunRecorder | None:
        if config.record and config.record != self._recording:
            if self._recorder:
                self._recorder.close(self.summary())
            self._recorder, self._recording = RunRecorder(Path(config.record), config), config.record
        return self._recorder

    def _connect(self, core: Core) -> None:
        """Everything that exists only while configured."""
        config = core.config
        robot = Spinner(plain_node(f"{NODE}_robot", self._context, config.use_sim_time), self._context)
        sensors = Spinner(plain_node(f"{NODE}_sensors", self._context, config.use_sim_time), self._context)
        self._parts = [sensors, robot]
        core.arm, core.gripper = choose(config, robot.node, self._clock)
        port = choose_recovery(config, robot.node)
        if port:
            core.recovery = RecoveryDesk(port, lambda words: self._publish(event("recovering", core.now, detail=words)))
        core.arm.start(core.perception.add_joints)
        self._plan_topics = PlanTopics(self._control, config)
        subscribe(sensors.node, config, core.intake, SENSOR_QOS)
        for part in self._parts:
            part.start()
        self._configured = core
        # A player of recordings stops its clock while a plan is being made, so a dry run ticks by the wall clock.
        tick = self._control.create_timer if not config.dry_run else lambda *given: steady_timer(self._control, *given)
        watch = steady_timer(self._control, WATCH_PERIOD, core.watch_planner)
        self._timers = [tick(config.control_period, self._tick), watch]

    def _come_up(self) -> None:
        """Autostart."""
        while not self._closing.is_set():
            self._control.trigger_configure()
            if self.state == "inactive":
                self._control.trigger_activate()
                return
            if not isinstance(self._refusal, PlannerError):
                self.failure = self._refusal or BridgeError("it could not be configured; its log says why")
                self.done.set()
                return
            self._closing.wait(RETRY_PAUSE)

    def _say_waiting(self, words: str) -> None:
        if words != str(self._refusal):
            self._publish(event("waiting", self._clock(), detail=words))

    # --- control thread -------------------------------------------------------------------------------------------

    def _clock(self) -> float:
        return self._control.get_clock().now().nanoseconds * 1e-9

    def _tick(self) -> None:
        core = self._configured
        if core:
            core.tick()
            if core.over:
                self.done.set()

    def _examine(self) -> None:
        core, listeners = self._configured, None
        if core and self._plan_topics:
            core.executor.want_frames(self._plan_topics.frames_wanted)
        if core and not core.config.dry_run and core.config.backend in TOPIC_BACKENDS:
            listeners = self._control.count_subscribers(core.config.arm_topic)
        entries = examine(core, self.state, listeners)
        self._health.publish(diagnostic_message(self._clock(), self.config.robot_id, entries))

    def _publish(self, happened: Event) -> None:
        self._status.publish(String(data=json.dumps(happened)))
        if self._recorder:
            self._recorder.event(happened)
        if self._task_edge:
            self._task_edge.hear(happened)
        if happened["event"] == "plan" and self._plan_topics and self._core and self._core.plan:
            self._plan_topics.show(happened, self._core.plan, self._core.executor.instruction)
        if self._on_event:
            self._on_event(happened)

    def _instruct(self, message: String) -> None:
        if self._configured:
            self._configured.instruct(message.data.strip())

    def _stop_called(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._configured is None:
            response.message = "not configured: nothing moves"
            return response
        self._configured.executor.stop(Finding(Reason.STOPPED, f"asked for through {STOP_SERVICE}"))
        response.success, response.message = True, f"stopping; call {REARM_SERVICE} to go on"
        return response

    def _rearm_called(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._configured is None:
            response.message = "not configured: nothing to re-arm"
            return response
        finding = self._configured.rearm()
        response.success = finding is None
        response.message = f"not re-armed ({finding.reason}): {finding.detail}" if finding else "re-armed"
        return response

    def _recover_called(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._configured is None:
            response.message = "not configured: the driver is not known"
            return response
        response.success, response.message = self._configured.recover()
        return response
