"""The arguments of a launch file as the table of docs/ros2.md."""

from __future__ import annotations

from launch_standin import LAUNCH, LaunchContext, describe

REQUIRED = {
    "real_trial": {"left_serial": "11", "right_serial": "22", "wrist_serial": "33"},
    "replay": {"bag": "trials/a/bag"},
    "sim_trial": {},
    "planner": {},
}
"""Arguments without which a launch file refuses to start."""


def table(name: str) -> str:
    """Markdown: argument, default, what it is."""
    rows = ["| argument | default | |", "|---|---|---|"]
    alone = {"planner": "false"} if name == "sim_trial" else {}  # without what it includes
    own = describe(LAUNCH / f"{name}.launch.py", **REQUIRED[name], **alone)
    for argument in own.declared.values():
        default = "required"
        if argument.default_value is not None:
            text = LaunchContext().text(argument.default_value).replace("share:vidplan_bringup/config/", "")
            default = f"`{text}`" if text else "empty"
        choices = f" ({', '.join(argument.choices)})" if argument.choices and "true" not in argument.choices else ""
        rows.append(f"| `{argument.name}` | {default} | {argument.description}{choices} |")
    return "\n".join(rows)
