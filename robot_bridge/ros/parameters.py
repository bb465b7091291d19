"""The bridge's settings as ROS parameters: declared with description and range, read when the node is configured."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult

from robot_bridge.config import BridgeConfig
from robot_bridge.errors import ConfigError
from robot_bridge.setting import checked

NAMES = tuple(item.name for item in fields(BridgeConfig))
OF_EVERY_NODE = ("use_sim_time", "start_type_description_service")
"""Parameters that rclpy declares by itself."""


class Settings:
    """Every setting as a parameter of an rclpy node; --ros-args and files win over ``base``.

    A value that ROS itself refuses (out of its range) is remembered, so that configuring can name every wrong one; it
    is forgotten once somebody sets a better one.
    """

    def __init__(self, node: Any, base: BridgeConfig, changeable: Callable[[], bool] = lambda: True) -> None:
        """Declare the parameters.

        Args:
            node: The node.
            base: Values where nobody gave another one.
            changeable: Whether a change would still have an effect.
        """
        self._node, self._changeable = node, changeable
        self._refused: dict[str, str] = {}
        self._given = dict(getattr(node, "_parameter_overrides", {}))  # rclpy has no public word for them
        self._refuse_unknown()
        for item in fields(BridgeConfig):
            if item.name != "use_sim_time":  # every ROS node has it already
                self._declare(item.name, getattr(base, item.name), item.metadata)
        node.add_on_set_parameters_callback(self._set)

    def value(self, name: str) -> Any:
        """A parameter as it stands now."""
        value = self._node.get_parameter(name).value
        return tuple(value) if isinstance(value, (list, tuple)) or hasattr(value, "typecode") else value

    def config(self) -> BridgeConfig:
        """All of them together.

        Raises:
            ConfigError: Names every value that cannot be used.
        """
        wrong = list(self._refused.values())
        try:
            config = BridgeConfig.from_mapping({name: self.value(name) for name in NAMES})
        except ConfigError as error:
            wrong.append(str(error))
        if wrong:
            name = wrong[0].partition(":")[0]
            raise ConfigError(name, "; ".join(wrong).removeprefix(f"{name}: "))
        return config

    def _refuse_unknown(self) -> None:
        """A misspelt limit must not be silently the default one."""
        for name in sorted(self._given):
            if name in (*NAMES, *OF_EVERY_NODE) or name.startswith("qos_overrides."):
                continue
            alike = difflib.get_close_matches(name, NAMES, 1)
            hint = f"; did you mean {alike[0]}?" if alike else ""
            self._refused[name] = f"{name}: is not a setting of the bridge{hint} (docs/reference.md lists them)"

    def _declare(self, name: str, value: Any, metadata: Any) -> None:
        default = list(value) if isinstance(value, tuple) else value
        descriptor = _descriptor(metadata, value)
        try:
            self._node.declare_parameter(name, default, descriptor)
        except Exception as error:  # rclpy's exceptions live at the edge; whichever it is, the value is no good
            self._node.declare_parameter(name, default, descriptor, ignore_override=True)
            self._refused[name] = self._in_words(name, value, metadata, error)

    def _in_words(self, name: str, default: Any, metadata: Any, error: Exception) -> str:
        """What is wrong with a given value; the settings' own words have the unit, ROS's do not."""
        try:
            if name in self._given:
                checked(name, self._given[name].value, default, metadata)
        except ConfigError as known:
            return str(known)
        return f"{name}: {error} ({metadata['help']})"

    def _set(self, parameters: Sequence[Any]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name in NAMES and parameter.name != "use_sim_time" and not self._changeable():
                reason = f"{parameter.name} is read when the bridge is configured: clean it up first"
                return SetParametersResult(successful=False, reason=reason)
        for parameter in parameters:
            self._refused.pop(parameter.name, None)
        return SetParametersResult(successful=True)


def declare(node: Any, base: BridgeConfig) -> BridgeConfig:
    """Declare every setting on a node and read it.

    Raises:
        ConfigError: A parameter's value cannot be used.
    """
    return Settings(node, base).config()


def _descriptor(metadata: Any, value: Any) -> ParameterDescriptor:
    unit = f" [{metadata['unit']}]" if metadata.get("unit") else ""
    descriptor = ParameterDescriptor(description=metadata["help"] + unit, dynamic_typing=True)
    if "low" in metadata and isinstance(value, float):
        bounds = FloatingPointRange(from_value=float(metadata["low"]), to_value=float(metadata["high"]))
        descriptor.floating_point_range = [bounds]
    elif "low" in metadata and isinstance(value, int):
        descriptor.integer_range = [IntegerRange(from_value=metadata["low"], to_value=metadata["high"])]
    return descriptor
