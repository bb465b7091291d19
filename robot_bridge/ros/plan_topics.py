"""What the bridge publishes about each plan: its status, and the live view of it."""

from __future__ import annotations

from functools import partial
from typing import Any

from plan_protocol.messages import Plan
from robot_bridge.background import Background
from robot_bridge.config import BridgeConfig
from robot_bridge.events import Event
from robot_bridge.ros.live_plan import LivePlan
from robot_bridge.ros.plan_status import PlanStatuses
from robot_bridge.ros.ros_edge import NEWEST_QOS
from robot_bridge.ros.topics import PLANS


class PlanTopics:
    """Publishers on a node, from `configure` to `cleanup`."""

    def __init__(self, node: Any, config: BridgeConfig, background: Background) -> None:
        """Make the publishers; the status' only where vidplan_msgs are built.

        Args:
            node: rclpy node.
            config: Which arm.
            background: Where messages are made and published.
        """
        self._node, self._background, self._closed = node, background, False
        self._publishers: list[Any] = []
        self._live = LivePlan(config, self._publisher)
        self._statuses = PlanStatuses.available(config.robot)
        self._status = node.create_publisher(self._statuses.type, PLANS, 10) if self._statuses else None

    @property
    def frames_wanted(self) -> bool:
        """Somebody looks at the imagined pictures."""
        return self._live.frames_wanted

    def show(self, told: Event, plan: Plan, instruction: str) -> None:
        """Publish a plan, soon."""
        self._background.do(partial(self._show, told, plan, instruction))

    def close(self) -> None:
        """Leave the topics."""
        self._closed = True
        for publisher in [*self._publishers, *([self._status] if self._status else [])]:
            self._node.destroy_publisher(publisher)

    def _show(self, told: Event, plan: Plan, instruction: str) -> None:
        if self._closed:
            return
        if self._statuses and self._status:
            self._status.publish(self._statuses.message(told, instruction))
        self._live.show(told, plan)

    def _publisher(self, kind: Any, topic: str) -> Any:
        publisher = self._node.create_publisher(kind, topic, NEWEST_QOS)
        self._publishers.append(publisher)
        return publisher
