"""The bridge as a ROS 2 lifecycle node: topics in, topics out, transitions; nothing of the thinking.

``vidplan_bridge`` is the managed node: it ticks at the control rate, takes stops and says what happens. Sensors, the
ways to the robot and tasks have nodes and threads of their own, so that a slow image never delays a command.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.context import Context
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import String

from plan_protocol.errors import ProtocolError
from robot_bridge.background import Background
from robot_bridge.config import BridgeConfig
from robot_bridge.connected import Connected
from robot_bridge.core import Core
from robot_bridge.diagnostics import examine
from robot_bridge.errors import BridgeError, ConfigError, MismatchError, PlannerError
from robot_bridge.events import Event, event
from robot_bridge.executor import Executor
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.meeting import meet
from robot_bridge.operator_services import OperatorServices
from robot_bridge.parameters import Settings
from robot_bridge.perception import Perception
from robot_bridge.planner_link import PlannerLink
from robot_bridge.recording import RunRecorder
from robot_bridge.ros_edge import LATCHED_QOS, ManagedNode, Spinner, plain_node, sim_time_override
from robot_bridge.ros_messages import diagnostic_message
from robot_bridge.task.ros_edge import TaskEdge, messages
from robot_bridge.topics import DIAGNOSTICS, NODE
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
        self._connected: Connected | None = None
        self._closing = threading.Event()
        self._closed = False
        self._refusal: BridgeError | None = None
        self._starter: threading.Thread | None = None
        overrides = sim_time_override(config.use_sim_time)
        self._control = ManagedNode(NODE, self, context=self._context, parameter_overrides=overrides)
        self._settings = Settings(self._control, config, lambda: self._connected is None)
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
        self._operator = OperatorServices(control, self._configured)
        self._background = Background("bridge-background", HEALTH_PERIOD, self._examine)
        types = messages()
        if types:
            node = plain_node(f"{NODE}_task", self._context, self.config.use_sim_time)
            self._tasks = Spinner(node, self._context)
            self._task_edge = TaskEdge(self._tasks, types, self._configured)

    @property
    def state(self) -> str:
        """Lifecycle state: ``unconfigured``, ``inactive``, ``active``, ``finalized``."""
        return self._control.label

    def _configured(self) -> Core | None:
        return self._connected.core if self._connected else None

    def start(self) -> None:
        """Begin to spin; with autostart, configure and activate in the background.

        Raises:
            BridgeError: A setting cannot be used, or the record's directory cannot be written.
        """
        if self.config.autostart:
            self._make_core()
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
        self._closing.set()
        if self._starter:
            self._starter.join(timeout=10.0)
        core = self._configured()
        if core:
            core.executor.stop(Finding(Reason.STOPPED, "the bridge is ending"))
            core.come_to_rest()
        summary = self.summary()
        self._publish(event("finished", self._core.now if self._core else 0.0, **summary))
        self._background.close()
        self.release()
        if self._core:
            self._core.close()
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
        core = prepared or self._make_core()
        core.fresh = False
        try:
            core.executor.hear(meet(core.link, core.config, self._closing, self._say_waiting))
            self._operator.hand_over(core)
            self._connected = Connected(core, self._control, self._clock, self._publish, self._tick, self._background)
        except BaseException:
            core.close()
            raise

    def activate(self) -> None:
        """Allow motion."""
        core = self._configured()
        if core:
            core.executor.activate()

    def deactivate(self) -> None:
        """Brake and hold."""
        core = self._configured()
        if core:
            core.executor.deactivate()

    def cleanup(self) -> None:
        """Let go of robot, sensors and planner, once the arm stands still."""
        core = self._configured()
        if core:
            core.come_to_rest()
            if not core.executor.at_rest:
                raise BridgeError("the arm still moves; clean up once it stands still")
        self.release()

    def shutdown(self) -> None:
        """Bring the arm to rest, let go of everything, end the program."""
        core = self._configured()
        if core:
            core.executor.deactivate()
            core.come_to_rest()
        self.release()
        self.done.set()

    def release(self) -> None:
        """Let go of everything that was configured."""
        connected, self._connected = self._connected, None
        if connected:
            connected.close()

    def refused(self, transition: str, error: BridgeError) -> None:
        """Say why a transition was not made, once."""
        told, self._refusal = str(self._refusal), error
        if str(error) == told or self._closing.is_set():
            return
        if self._starter and isinstance(error, PlannerError) and not isinstance(error, MismatchError):
            self._say_waiting(f"{error}; trying on")
        else:
            self._publish(event("transition_refused", self._clock(), detail=f"{transition}: {error}"))

    def _make_core(self) -> Core:
        self.config = config = self._settings.config()
        core = Core(config, self._clock, self._publish, self._recorder_of(config))
        try:
            core.link.start()
        except ProtocolError as error:
            raise ConfigError("server", str(error)) from error
        self._core, self.link, self.perception, self.executor = core, core.link, core.perception, core.executor
        return core

    def _recorder_of(self, config: BridgeConfig) -> RunRecorder | None:
        if config.record and config.record != self._recording:
            if self._recorder:
                self._recorder.close(self.summary())
            self._recorder, self._recording = RunRecorder(Path(config.record), config), config.record
        return self._recorder

    def _come_up(self) -> None:
        """Autostart."""
        while not self._closing.is_set() and self.state == "unconfigured":
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
        self._publish(event("waiting", self._clock(), detail=words))

    # --- control thread -------------------------------------------------------------------------------------------

    def _clock(self) -> float:
        return self._control.get_clock().now().nanoseconds * 1e-9

    def _tick(self) -> None:
        core = self._configured()
        if core:
            core.tick()
            if core.over:
                self.done.set()

    def _examine(self) -> None:
        connected = self._connected
        if connected:
            connected.core.executor.want_frames(connected.plan_topics.frames_wanted)
        entries = examine(self._configured(), self.state, connected.listeners if connected else None)
        self._health.publish(diagnostic_message(self._clock(), self.config.robot_id, entries))

    def _publish(self, happened: Event) -> None:
        self._status.publish(String(data=json.dumps(happened)))
        if self._recorder:
            self._recorder.event(happened)
        if self._task_edge:
            self._task_edge.hear(happened)
        if happened["event"] == "plan" and self._connected and self._connected.core.plan:
            self._connected.plan_topics.show(happened, self._connected.core.plan, self.executor.instruction)
        if self._on_event:
            self._on_event(happened)
