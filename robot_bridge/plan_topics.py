"""What the bridge publishes about each plan: its status, and the live view of it."""

from __future__ import annotations

import logging
from typing import Any

from plan_protocol.messages import Plan
from robot_bridge.config import BridgeConfig
from robot_bridge.events import Event
from robot_bridge.live_plan import LivePlan
from robot_bridge.plan_status import PlanStatuses
from robot_bridge.ros_edge import NEWEST_QOS
from robot_bridge.topics import PLANS

logger = logging.getLogger(__name__)


class PlanTopics:
    """Publishers on a node, from `configure` to `cleanup`."""

    def __init__(self, node: Any, config: BridgeConfig) -> None:
        """Make the publishers; the status' only where vidplan_msgs are built."""
        self._node = node
        self._publishers: list[Any] = []
        self._live = LivePlan(config, self._publisher)
        self._statuses = PlanStatuses.available(config.robot)
        self._status = node.create_publisher(self._statuses.type, PLANS, 10) if self._statuses else None

    @property
    def frames_wanted(self) -> bool:
        """Somebody looks at the imagined pictures."""
        return self._live.frames_wanted

    def show(self, told: Event, plan: Plan, instruction: str) -> None:
        """Publish a plan; nothing that goes wrong here may touch the arm."""
        try:
            if self._statuses and self._status:
                self._status.publish(self._statuses.message(told, instruction))
            self._live.show(told, plan)
        except Exception:
            logger.exception("plan %s could not be shown", told.get("plan"))

    def close(self) -> None:
        """Leave the topics."""
        for publisher in [*self._publishers, *([self._status] if self._status else [])]:
            self._node.destroy_publisher(publisher)

    def _publisher(self, kind: Any, topic: str) -> Any:
        publisher = self._node.create_publisher(kind, topic, NEWEST_QOS)
        self._publishers.append(publisher)
        return publisher
