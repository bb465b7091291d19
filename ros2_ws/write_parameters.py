"""Write `vidplan_bringup`'s parameter file from the bridge's table of settings.

    .venv/bin/python ros2_ws/write_parameters.py

Run it after a change of `robot_bridge/config.py`; a test compares the two.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from textwrap import wrap
from typing import Any

from robot_bridge.config import BridgeConfig

FILE = Path(__file__).resolve().parent / "src" / "vidplan_bringup" / "config" / "bridge.yaml"
FROM_LAUNCH = ("instruction", "server", "robot", "use_sim_time", "dry_run", "record")
"""Settings that the launch files always give, so that they would win over the file."""
HEADER = """\
# Settings of the bridge, with their defaults, written by ros2_ws/write_parameters.py. Copy it, change it, and give it
# to a launch file (params_file:=...) or to the bridge itself (--ros-args --params-file ...). A value out of its range,
# or an unknown robot, is refused at start by name. Lengths in metres, angles in radians, times in seconds of the
# robot's clock. What every launch file says itself (instruction, server, robot, use_sim_time, dry_run, record) is left
# out: it would win over the file.
"""


def text() -> str:
    """The file's content."""
    lines = [HEADER + "/**/vidplan_bridge:", "  ros__parameters:"]
    for item in fields(BridgeConfig):
        if item.name in FROM_LAUNCH:
            continue
        comment = item.metadata["help"]
        if "low" in item.metadata:
            unit = item.metadata.get("unit", "")
            comment += f" ({item.metadata['low']:g} .. {item.metadata['high']:g}{' ' + unit if unit else ''})"
        lines += [f"    # {line}" for line in wrap(comment, 112)]
        lines += [f"    {item.name}: {_yaml(item.default)}"]
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    """A value as YAML with the type ROS is to give it: a whole number as float keeps its point."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(_yaml(entry) for entry in value) + "]"
    if isinstance(value, float):
        return repr(value) if "e" not in repr(value) else f"{value:.6f}"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    FILE.write_text(text())
    print(FILE)
