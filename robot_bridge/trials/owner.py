"""Which process runs a trial, so that a row left behind by a crash is told from one that is still running."""

from __future__ import annotations

import os
from pathlib import Path

_BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_process() -> str:
    """Name of this process: unlike its number alone, never used again, not even after a restart of the machine."""
    return _name(os.getpid())


def is_alive(owner: str) -> bool:
    """Whether the process of that name still runs on this machine."""
    pid = owner.split()[-1]
    return pid.isdigit() and _name(int(pid)) == owner


def _name(pid: int) -> str:
    try:
        # The 22nd field is the time it started; the 2nd, its name, may hold blanks and ends with the last ')'.
        started = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        started = "gone"
    return f"{_BOOT.read_text().strip()} {started} {pid}"
