"""What `ros2 run vidplan_bridge ...` starts: commands of the pip-installed `vidplan`, or what to do without it."""

from __future__ import annotations

import sys
from importlib import metadata

VERSION = "0.1.0"
"""Version of `vidplan` this package was made for; its interfaces and parameters belong together."""


def bridge() -> int:
    """`vidplan bridge`, the node `vidplan_bridge`."""
    return _run("bridge")


def replay() -> int:
    """`vidplan replay`."""
    return _run("replay")


def doctor() -> int:
    """`vidplan doctor`."""
    return _run("doctor")


def _run(command: str) -> int:
    problem = _problem()
    if problem:
        print(f"vidplan_bridge {command}: {problem}", file=sys.stderr)
        return 1
    import vidplan

    return vidplan.main([command, *sys.argv[1:]])


def _problem() -> str:
    try:
        found = metadata.version("vidplan")
    except metadata.PackageNotFoundError:
        return (
            f"{sys.executable} has no package 'vidplan'. Install it into .venv as docs/ros2.md says, and "
            "`source .venv/bin/activate` in this shell."
        )
    if found != VERSION:
        return (
            f"vidplan {found} is installed, but this workspace was made for {VERSION}. Update the checkout, install "
            "the package again and build the workspace again (docs/ros2.md)."
        )
    return ""
