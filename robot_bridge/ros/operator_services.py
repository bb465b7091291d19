"""What people and other programs may ask of a running bridge: a task, the stop, re-arming, recovery."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from std_msgs.msg import String
from std_srvs.srv import Trigger

from robot_bridge.core import Core
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.ros.topics import REARM_SERVICE, RECOVER_SERVICE, STOP_SERVICE
from robot_model.ros_names import INSTRUCTION


class OperatorServices:
    """Services and the instruction's topic, there in every state of the lifecycle."""

    def __init__(self, node: Any, core: Callable[[], Core | None]) -> None:
        """Offer them on an rclpy node, for the configured bridge or None."""
        self._core = core
        self._early: str | None = None
        node.create_subscription(String, INSTRUCTION, self._instruct, 10)
        for name, answer in ((STOP_SERVICE, _stop), (REARM_SERVICE, _rearm), (RECOVER_SERVICE, Core.recover)):
            node.create_service(Trigger, name, self._answering(answer))

    def hand_over(self, core: Core) -> None:
        """Give a new configuration the task that came before it was there."""
        if self._early is not None:
            core.instruct(self._early)
            self._early = None

    def _instruct(self, message: String) -> None:
        core, instruction = self._core(), message.data.strip()
        if core:
            core.instruct(instruction)
        else:
            self._early = instruction

    def _answering(self, answer: Callable[[Core], tuple[bool, str]]) -> Callable[[Any, Any], Any]:
        def called(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            core = self._core()
            response.success, response.message = answer(core) if core else (False, "not configured: nothing moves")
            return response

        return called


def _stop(core: Core) -> tuple[bool, str]:
    core.executor.stop(Finding(Reason.STOPPED, f"asked for through {STOP_SERVICE}"))
    return True, f"stopping; call {REARM_SERVICE} to go on"


def _rearm(core: Core) -> tuple[bool, str]:
    finding = core.rearm()
    return finding is None, f"not re-armed ({finding.reason}): {finding.detail}" if finding else "re-armed"
