"""Kinds of settings: what each is, which values it takes, and how a wrong one is refused in words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from robot_bridge.errors import ConfigError

TOPIC = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
"""What ROS takes for the name of a topic, service or action."""


def text(default: str, help: str) -> Any:
    """Free text."""
    return field(default=default, metadata={"help": help})


def name(default: str, help: str) -> Any:
    """Name of a topic, service, action or namespace; empty where the help says what that means."""
    return field(default=default, metadata={"help": help, "pattern": TOPIC})


def choice(default: str, choices: Mapping[str, str], help: str) -> Any:
    """One of a few words."""
    return field(default=default, metadata={"help": f"{help}: {', '.join(choices)}", "choices": tuple(choices)})


def flag(help: str, default: bool = False) -> Any:
    """Yes or no."""
    return field(default=default, metadata={"help": help})


def number(default: float, low: float, high: float, unit: str, help: str) -> Any:
    """A number of a unit (empty: none) within a range."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "unit": unit})


def box(default: tuple[float, float, float], help: str) -> Any:
    """A corner of a box in the arm's base frame."""
    return field(default=default, metadata={"help": help, "low": -2.0, "high": 2.0, "unit": "m"})


def measure(value: float, metadata: Mapping[str, Any]) -> str:
    """A number with its unit."""
    return f"{value:g} {metadata.get('unit', '')}".rstrip()


def checked(name: str, value: Any, default: Any, metadata: Mapping[str, Any]) -> Any:
    """``value`` in the type of ``default``, within what ``metadata`` allows.

    Raises:
        ConfigError: It is not; the message has the range, the unit and what the setting is.
    """
    if isinstance(default, (bool, str)):
        return _word(name, value, default, metadata)
    if isinstance(default, tuple):
        return _several(name, value, default, metadata)
    what = f" ({metadata['help']})" if "help" in metadata else ""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(name, f"must be a finite number, got {value!r}{what}")
    low, high = metadata["low"], metadata["high"]
    if not low <= value <= high:
        unit = f" {metadata['unit']}" if metadata.get("unit") else ""
        raise ConfigError(name, f"must lie in [{low:g}, {high:g}]{unit}, got {value:g}{what}")
    return type(default)(value)


def _word(name: str, value: Any, default: bool | str, metadata: Mapping[str, Any]) -> bool | str:
    if not isinstance(value, type(default)):
        raise ConfigError(name, f"must be {'true or false' if isinstance(default, bool) else 'text'}, got {value!r}")
    if value not in metadata.get("choices", (value,)):
        raise ConfigError(name, f"'{value}' is not one of: {', '.join(metadata['choices'])}")
    if value and "pattern" in metadata and not metadata["pattern"].fullmatch(value):
        raise ConfigError(name, f"'{value}' is no name that ROS takes: letters, digits, _ and /, like /a/topic_1")
    return value


def _several(name: str, value: Any, default: tuple[Any, ...], metadata: Mapping[str, Any]) -> tuple[Any, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise ConfigError(name, f"must be a list, got {value!r}")
    if isinstance(default[0], str):
        return tuple(checked(name, entry, "", metadata) for entry in value)
    entries = tuple(checked(name, entry, 0.0, metadata) for entry in value)
    if len(entries) != len(default):
        raise ConfigError(name, f"must have {len(default)} values, got {len(entries)}")
    return entries
