"""franka_ros2 and its controller manager as a `DriverPort`: what they tell, and what can be asked of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from robot_bridge.backends.interfaces import BackendError
from robot_bridge.backends.recovery import RobotMode

ASK_PERIOD = 0.5
"""Seconds between two questions to the controller manager."""
STRICT = 2
"""`STRICT` of controller_manager_msgs/SwitchController: all or nothing."""
ACTIVE = 3
"""`PRIMARY_STATE_ACTIVE` of lifecycle_msgs/State."""
MODES = {mode.value: mode for mode in RobotMode}


class FrankaRos2:
    """The driver of one arm. Answers are remembered; nothing here waits."""

    def __init__(
        self, node: Any, namespace: str, controller: str, recover: Any, decode: Callable[[bytes, Any], Any]
    ) -> None:
        """Subscribe and make the clients.

        Args:
            node: rclpy node for everything.
            namespace: Of the driver, without slashes at its ends; empty: none.
            controller: The arm's controller, e.g. ``fr3_arm_controller``.
            recover: Has ``send(goal)`` for the action of error recovery.
            decode: Turns the bytes of a message into one of the class given.

        Raises:
            BackendError: The driver's messages are not installed.
        """
        prefix = f"/{namespace}" if namespace else ""
        self._state_type = _interface("franka_msgs", "msg", "FrankaRobotState")
        self._goal = _interface("franka_msgs", "action", "ErrorRecovery").Goal
        self._set_hardware = _interface("controller_manager_msgs", "srv", "SetHardwareComponentState")
        self._switch = _interface("controller_manager_msgs", "srv", "SwitchController")
        hardware = _interface("controller_manager_msgs", "srv", "ListHardwareComponents")
        controllers = _interface("controller_manager_msgs", "srv", "ListControllers")
        self._controller, self._recover, self._decode = controller, recover, decode
        self._raw: bytes | None = None
        self._hardware: dict[str, bool] | None = None
        self._controller_active: bool | None = None
        self._asked = float("-inf")
        manager = f"{prefix}/controller_manager"
        # 1 kHz: only kept as it comes, and decoded when it is looked at.
        node.create_subscription(
            self._state_type, f"{prefix}/franka_robot_state_broadcaster/robot_state", self._keep, 1, raw=True
        )
        self._lists = [
            (node.create_client(hardware, f"{manager}/list_hardware_components"), hardware, self._hardware_came),
            (node.create_client(controllers, f"{manager}/list_controllers"), controllers, self._controllers_came),
        ]
        self._set_client = node.create_client(self._set_hardware, f"{manager}/set_hardware_component_state")
        self._switch_client = node.create_client(self._switch, f"{manager}/switch_controller")

    def known(self) -> bool:
        """See `DriverPort.known`."""
        return self._raw is not None and self._hardware is not None and self._controller_active is not None

    def refresh(self, now: float) -> None:
        """See `DriverPort.refresh`."""
        if now - self._asked < ASK_PERIOD:
            return
        self._asked = now
        for client, kind, take in self._lists:
            if client.service_is_ready():
                client.call_async(kind.Request()).add_done_callback(lambda future, take=take: take(future.result()))

    def robot_mode(self) -> RobotMode:
        """See `RecoveryPort.robot_mode`."""
        if self._raw is None:
            return RobotMode.OTHER
        return MODES.get(int(self._decode(self._raw, self._state_type).robot_mode), RobotMode.OTHER)

    def hardware_active(self) -> bool:
        """See `RecoveryPort.hardware_active`: every component of the controller manager is."""
        return bool(self._hardware) and all((self._hardware or {}).values())

    def controller_active(self) -> bool:
        """See `RecoveryPort.controller_active`."""
        return bool(self._controller_active)

    def recover_errors(self) -> None:
        """See `RecoveryPort.recover_errors`."""
        self._recover.send(self._goal())

    def activate_hardware(self) -> None:
        """See `RecoveryPort.activate_hardware`: of those that are not active."""
        for name, active in (self._hardware or {}).items():
            if not active:
                request = self._set_hardware.Request(name=name)
                request.target_state.id, request.target_state.label = ACTIVE, "active"
                self._set_client.call_async(request)

    def switch_controller(self) -> None:
        """See `RecoveryPort.switch_controller`."""
        self._switch_client.call_async(self._switch.Request(activate_controllers=[self._controller], strictness=STRICT))

    def _keep(self, message: bytes) -> None:
        self._raw = message

    def _hardware_came(self, answer: Any) -> None:
        self._hardware = {component.name: component.state.label == "active" for component in answer.component}

    def _controllers_came(self, answer: Any) -> None:
        states = {controller.name: controller.state for controller in answer.controller}
        self._controller_active = states.get(self._controller) == "active"


def _interface(package: str, kind: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(f"{package}.{kind}"), name)
    except ImportError as error:
        raise BackendError(
            f"recovery needs {package}, which is not installed: build franka_ros2 in this workspace (franka_msgs), "
            "apt install ros-$ROS_DISTRO-controller-manager-msgs, or say --recovery none"
        ) from error
