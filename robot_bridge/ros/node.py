"""The bridge as a ROS 2 lifecycle node: topics in, topics out, transitions; nothing of the thinking.

``vidplan_bridge`` is the managed node: it ticks at the control rate, takes stops and says what happens. Sensors, the
ways to the robot and tasks have nodes and threads of their own, so that a slow image never delays a command.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from robot_bridge.background import Background
from robot_bridge.config import BridgeConfig
from robot_bridge.core import Core
from robot_bridge.errors import BridgeError, ConfigError, PlannerError
from robot_bridge.events import Event, event
from robot_bridge.execution.executor import Executor
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.planner.link import PlannerLink
from robot_bridge.recording import RunRecorder
from robot_bridge.ros.connected import Connected
from robot_bridge.ros.diagnostics import examine
from robot_bridge.ros.messages import diagnostic_message
from robot_bridge.ros.operator_services import OperatorServices
from robot_bridge.ros.parameters import Settings
from robot_bridge.ros.realtime import claim
from robot_bridge.ros.ros_edge import LATCHED_QOS, ManagedNode, Spinner, plain_node, sim_time_override
from robot_bridge.ros.topics import DIAGNOSTICS, NODE
from robot_bridge.sensing.perception import Perception
from robot_bridge.stages import BridgeStages
from robot_bridge.task.ros_edge import TaskEdge, messages
from robot_model.ros_names import STATUS

HEALTH_PERIOD = 1.0
"""Seconds of wall clock between two messages on /diagnostics."""

RETRY_PAUSE = 1.0
"""Seconds between two attempts of autostart to configure."""


class BridgeNode:
    """The running bridge. Create, `start`, and `close` it; `done` is set when its duration is over.

    With ``autostart`` it configures itself (again and again, until the planner is there and fits) and activates itself;
    otherwise it waits for the transitions. It holds one `Core` per configuration.

    Attributes:
        config: Settings after ROS parameters had their say.
        done: Set when the configured duration is over, the node was shut down, or it cannot come up.
        failure: Why it cannot come up, where trying again would not help.
        link: Connection to the planner; this and the next two are of the newest configuration, from `start` on.
        perception: What is seen and felt.
        executor: The state machine.
    """

    link: PlannerLink
    perception: Perception
    executor: Executor

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
            ConfigError: ROS does not understand its arguments, or (with autostart; otherwise configuring says so) a
                parameter or its value cannot be used.
        """
        self._own_context = context is None
        self._context = context or Context()
        if self._own_context:
            _enter_ros(self._context, list(ros_arguments))
        self.failure: BridgeError | None = None
        self._on_event = on_event
        self._connected: Connected | None = None
        self._closed = False
        self._starter: threading.Thread | None = None
        self._control = ManagedNode(
            NODE, context=self._context, parameter_overrides=sim_time_override(config.use_sim_time)
        )
        settings = Settings(self._control, config, lambda: self._stages.connected is None)
        self._stages = BridgeStages(settings.config, self._connect, self._clock, self._publish, self._made, recorder)
        self._control.transitions = self._stages
        self.done = self._stages.ended
        self.config = settings.config() if settings.value("autostart") is True else replace(config, autostart=False)
        self._spinner = Spinner(self._control, self._context)
        self._tasks: Spinner | None = None
        self._task_edge: TaskEdge | None = None
        self._offer()

    def _offer(self) -> None:
        """What is there in every state of the lifecycle."""
        control = self._control
        self._status = control.create_publisher(String, STATUS, LATCHED_QOS)
        self._health = control.create_publisher(DiagnosticArray, DIAGNOSTICS, 10)
        self._operator = OperatorServices(control, lambda: self._stages.configured)
        self._background = Background("bridge-background", HEALTH_PERIOD, self._examine)
        types = messages()
        if types:
            node = plain_node(f"{NODE}_task", self._context, self.config.use_sim_time)
            self._tasks = Spinner(node, self._context)
            self._task_edge = TaskEdge(self._tasks, types, lambda: self._stages.configured)

    @property
    def state(self) -> str:
        """Lifecycle state: ``unconfigured``, ``inactive``, ``active``, ``finalized``."""
        return self._control.label

    def start(self) -> None:
        """Begin to spin; with autostart, configure and activate in the background.

        Raises:
            BridgeError: A setting cannot be used, or the record's directory cannot be written.
        """
        claim(self.config.realtime_priority)
        if self.config.autostart:
            self._stages.prepare()
            self._starter = threading.Thread(target=self._come_up, name="autostart", daemon=True)
        self._background.start()
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
        self._stages.closing.set()
        if self._starter:
            self._starter.join(timeout=10.0)
        core = self._stages.configured
        if core:
            core.executor.stop(Finding(Reason.STOPPED, "the bridge is ending"))
            core.come_to_rest()
        summary = self.summary()
        self._publish(event("finished", core.now if core else 0.0, **summary))
        self._background.close()
        self._stages.release()
        for spinner in (self._tasks, self._spinner):
            if spinner:
                spinner.close()
        if self._own_context:
            rclpy.try_shutdown(context=self._context)
        if self._stages.recorder:
            self._stages.recorder.close(summary)
        return summary

    def summary(self) -> dict[str, Any]:
        """Figures of the run so far."""
        return self._stages.summary()

    def _made(self, core: Core) -> None:
        self.config, self.link, self.perception, self.executor = core.config, core.link, core.perception, core.executor

    def _connect(self, core: Core) -> Connected:
        self._operator.hand_over(core)
        self._connected = Connected(core, self._control, self._clock, self._publish, self._tick, self._background)
        return self._connected

    def _come_up(self) -> None:
        """Autostart: try until the planner is there and fits."""
        closing = self._stages.closing
        while not closing.is_set() and self.state == "unconfigured":
            self._control.trigger_configure()
            if self.state == "inactive":
                self._control.trigger_activate()
                return
            if not isinstance(self._stages.refusal, PlannerError):
                self.failure = self._stages.refusal or BridgeError("it could not be configured; its log says why")
                self.done.set()
                return
            closing.wait(RETRY_PAUSE)

    def _clock(self) -> float:
        return self._control.get_clock().now().nanoseconds * 1e-9

    def _tick(self) -> None:
        core = self._stages.configured
        if core:
            core.tick()
            if core.over:
                self.done.set()

    def _examine(self) -> None:
        core, listeners = self._stages.configured, None
        if core and self._connected:
            core.executor.want_frames(self._connected.plan_topics.frames_wanted)
            listeners = self._connected.listeners
            if self._connected.rivals:
                core.executor.stop(
                    Finding(
                        Reason.BACKEND_ERROR,
                        f"somebody else publishes on {core.config.arm_topic}, too: two programs must not command one "
                        "arm. End it (one that was killed is remembered for some 20 s), then re-arm",
                    )
                )
        entries = examine(core, self.state, listeners)
        self._health.publish(diagnostic_message(self._clock(), self.config.robot_id, entries))

    def _publish(self, happened: Event) -> None:
        self._status.publish(String(data=json.dumps(happened)))
        if self._stages.recorder:
            self._stages.recorder.event(happened)
        if self._task_edge:
            self._task_edge.hear(happened)
        core = self._stages.configured
        if happened["event"] == "plan" and core and core.plan and self._connected:
            self._connected.plan_topics.show(happened, core.plan, core.executor.instruction)
        if self._on_event:
            self._on_event(happened)


def _enter_ros(context: Context, arguments: list[str]) -> None:
    try:
        rclpy.init(args=arguments, context=context, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy has no common class for a file that is not there, YAML that is none, ...
        raise ConfigError("--ros-args", f"{error}") from error
