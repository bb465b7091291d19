"""The bridge's settings as ROS parameters: declared with description and range, read once at start."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from robot_bridge.config import BridgeConfig


def declare(node: Any, base: BridgeConfig) -> BridgeConfig:
    """Declare every setting as a read-only parameter of an rclpy node; --ros-args and files win over ``base``.

    Raises:
        ConfigError: A parameter's value cannot be used.
    """
    values: dict[str, Any] = {}
    for item in fields(BridgeConfig):
        value = getattr(base, item.name)
        if item.name == "use_sim_time":  # every ROS node has it already
            values[item.name] = bool(node.get_parameter(item.name).value)
            continue
        default = list(value) if isinstance(value, tuple) else value
        given = node.declare_parameter(item.name, default, _descriptor(item.metadata, value)).value
        values[item.name] = tuple(given) if isinstance(value, tuple) else given
    return BridgeConfig.from_mapping(values)


def _descriptor(metadata: Any, value: Any) -> ParameterDescriptor:
    descriptor = ParameterDescriptor(description=metadata["help"], read_only=True, dynamic_typing=True)
    if "low" in metadata and isinstance(value, float):
        bounds = FloatingPointRange(from_value=float(metadata["low"]), to_value=float(metadata["high"]))
        descriptor.floating_point_range = [bounds]
    elif "low" in metadata and isinstance(value, int):
        descriptor.integer_range = [IntegerRange(from_value=metadata["low"], to_value=metadata["high"])]
    return descriptor
