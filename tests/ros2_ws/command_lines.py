"""Whether a command line of ours, as a launch file or a container names it, is one the commands accept."""

from __future__ import annotations

import functools
import re
import subprocess
import sys

import vidplan


@functools.cache
def options(*command: str) -> frozenset[str]:
    """Options in a command's help."""
    done = subprocess.run(
        [sys.executable, "-m", "vidplan", *command, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    return frozenset(re.findall(r"--[a-z][a-z0-9-]*", done.stdout))


def assert_command_exists(command: list[str]) -> None:
    """``command`` without its leading ``vidplan``: a subcommand with options it knows."""
    name = command[0]
    assert name in vidplan.SUBCOMMANDS, f"no command 'vidplan {name}'"
    own = command[1 : command.index("--ros-args")] if "--ros-args" in command else command[1:]
    used = {part.partition("=")[0] for part in own if part.startswith("--")}
    unknown = used - options(name)
    assert not unknown, f"vidplan {name} has no {sorted(unknown)}"
