"""What exists only while the bridge is configured: ways to the robot, sensors, timers, topics of the plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from robot_bridge.backends.choose import choose, choose_recovery
from robot_bridge.backends.recovery_desk import RecoveryDesk
from robot_bridge.background import Background
from robot_bridge.core import Core
from robot_bridge.events import Event, event
from robot_bridge.ros.plan_topics import PlanTopics
from robot_bridge.ros.ros_edge import SENSOR_QOS, Spinner, plain_node, steady_timer
from robot_bridge.ros.sensor_topics import subscribe
from robot_bridge.ros.topics import NODE

WATCH_PERIOD = 0.02
"""Seconds of wall clock between two looks at the planner's connection."""

TOPIC_BACKENDS = ("joint_trajectory", "forward_position", "sim")
"""Backends whose listeners can be counted."""


class Connected:
    """A core with its robot, its sensors and its pace.

    Attributes:
        core: The configured bridge.
        plan_topics: Where plans are shown.
    """

    def __init__(
        self,
        core: Core,
        control: Any,
        clock: Callable[[], float],
        publish: Callable[[Event], None],
        tick: Callable[[], None],
        background: Background,
    ) -> None:
        """Connect; the arm's commands get a node of their own, so that none exists in other states.

        Args:
            core: A bridge whose planner has been met.
            control: The managed node; ticks and shows plans.
            clock: Seconds on the robot's clock.
            publish: Takes what recovery has to say.
            tick: Called at the control rate, in the managed node's thread.
            background: Where plans are shown.

        Raises:
            BackendError: The robot cannot be reached this way.
        """
        config, context = core.config, control.context
        self.core, self._control = core, control
        robot, sensors = (
            Spinner(plain_node(f"{NODE}_{part}", context, config.use_sim_time), context)
            for part in ("robot", "sensors")
        )
        self._spinners = [sensors, robot]
        self._timers: list[Any] = []
        self.plan_topics = PlanTopics(control, config, background)
        try:
            core.arm, core.gripper = choose(config, robot.node, clock)
            port = choose_recovery(config, robot.node)
            if port:
                core.recovery = RecoveryDesk(port, lambda words: publish(event("recovering", core.now, detail=words)))
            core.arm.start(core.perception.add_joints)
            subscribe(sensors.node, config, core.intake, SENSOR_QOS)
        except BaseException:
            self.close()
            raise
        for spinner in self._spinners:
            spinner.start()
        watch = steady_timer(control, WATCH_PERIOD, core.watch_planner)
        # A player of recordings stops its clock while a plan is being made, so a dry run ticks by the wall clock.
        if config.dry_run:
            self._timers = [watch, steady_timer(control, config.control_period, tick)]
        else:
            self._timers = [watch, control.create_timer(config.control_period, tick)]

    @property
    def listeners(self) -> int | None:
        """How many listen to the arm's commands; None where that cannot be told."""
        config = self.core.config
        if config.dry_run or config.backend not in TOPIC_BACKENDS:
            return None
        return int(self._control.count_subscribers(config.arm_topic))

    @property
    def rivals(self) -> int:
        """How many others publish commands for a real arm: a bridge in another terminal, a tool that moves joints."""
        config = self.core.config
        if config.dry_run or config.use_sim_time or config.backend not in TOPIC_BACKENDS:
            return 0
        return max(0, int(self._control.count_publishers(config.arm_topic)) - 1)

    def close(self) -> None:
        """Let go of robot, sensors and planner; nothing is sent any more."""
        for timer in self._timers:
            self._control.destroy_timer(timer)
        self.core.close()
        for spinner in self._spinners:
            spinner.close()
        self.plan_topics.close()
