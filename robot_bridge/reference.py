"""The reference page, made from the code: settings, topics, lifecycle, codes.

    .venv/bin/python -m robot_bridge.reference > docs/reference.md

Run it after a change of settings, topics or codes; a test compares the two.
"""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Any

from robot_bridge.backends.names import ARMS, GRIPPERS, RECOVERIES
from robot_bridge.backends.recovery import IN_WORDS
from robot_bridge.config import BridgeConfig
from robot_bridge.guard.reasons import reasons_table
from robot_bridge.ros.topics import INTERFACES, NODE
from robot_bridge.task.codes import codes_table

HEAD = f"""\
# Reference of the bridge

Written by `python -m robot_bridge.reference > docs/reference.md`; do not edit it by hand.
[bridge.md](bridge.md) explains how the parts work together, [ros2.md](ros2.md) the launch files.

## Settings

Each is an option of `vidplan bridge` (`--max-camera-age 0.3`) and a parameter of the node `{NODE}`
(`-p max_camera_age:=0.3`, or in a file). They are read when the node is configured; a value that cannot be used is
refused with its range and unit, all of them at once. Afterwards a change is refused until the node is cleaned up.
"""

LIFECYCLE = f"""\
## Lifecycle of `{NODE}`

| transition | what it does | refused when |
|---|---|---|
| `configure` | checks every setting; greets the planner and compares cameras, frames, rotation, units, gripper, \
workspace and rates with this robot; connects robot and sensors | a setting cannot be used; no planner within \
`connect_timeout`; it differs (each difference is named); the robot cannot be reached |
| `activate` | allows motion | |
| `deactivate` | brakes and holds; senses and planner stay connected | |
| `cleanup` | lets go of robot, sensors and planner; settings may be changed | the arm does not come to rest |
| `shutdown` | the same from any state, and ends the program | |
| error | lets go of everything; the node is `unconfigured` | |

With `autostart` (the default) the node configures itself until that succeeds, and activates itself. What was refused is
the event `transition_refused` on `/vidplan/status`. A planner that comes back after a loss is compared again; while it
differs, the arm holds.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, _settings(), LIFECYCLE, _interfaces(), _names(), _codes()]
    return "\n".join(parts)


def _settings() -> str:
    rows = ["| setting | default | range | unit | |", "|---|---|---|---|---|"]
    for item in fields(BridgeConfig):
        metadata = item.metadata
        span = f"{metadata['low']:g} .. {metadata['high']:g}" if "low" in metadata else ""
        rows.append(
            f"| `{item.name}` | {_shown(item.default)} | {span} | {metadata.get('unit', '')} | {metadata['help']} |"
        )
    return "\n".join(rows) + "\n"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return " ".join(f"`{_plain(entry)}`" for entry in value)
    return f"`{_plain(value)}`" if value != "" else "empty"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _interfaces() -> str:
    rows = ["## Topics, services, actions\n", "| name | type | | |", "|---|---|---|---|"]
    rows += [f"| `{entry.name}` | {entry.type} | {entry.way} | {entry.help} |" for entry in INTERFACES]
    return "\n".join(rows) + "\n\n{braces}: what the setting of that name says.\n"


def _names() -> str:
    lines = ["## Ways to the robot\n"]
    for setting, names in (("backend", ARMS), ("gripper", GRIPPERS), ("recovery", RECOVERIES)):
        lines += [f"| `{setting}` | |", "|---|---|", *(f"| `{name}` | {what} |" for name, what in names.items()), ""]
    lines += ["| state of the recovery | |", "|---|---|"]
    lines += [f"| `{phase.value}` | {words} |" for phase, words in IN_WORDS.items()]
    return "\n".join(lines) + "\n"


def _codes() -> str:
    return (
        "## Codes of the action `ExecuteTask`\n\n"
        f"{codes_table()}\n\n"
        "## Reason codes\n\nIn events (`reason`), in messages of services, in PlanStatus.\n\n"
        f"{reasons_table()}\n"
    )


if __name__ == "__main__":
    sys.stdout.write(page())
