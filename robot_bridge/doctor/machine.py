"""The machine: Python, disk, cores, kernel, clock."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from robot_bridge.doctor.check import MISSING, NOTE, OK, SKIPPED, Cell, Check, last_line, python_says

ENOUGH_DISK = 5.0
ENOUGH_CORES = 2
REALTIME = Path("/sys/kernel/realtime")
RECOMMENDED = 10
"""Real-time priority that docs/bridge.md recommends for the bridge."""


def machine(cell: Cell) -> Iterator[Check]:
    """All checks of this part."""
    yield python()
    yield disk()
    yield cores()


def python() -> Check:
    """Whether this Python and machine are among those it is made for."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Check("Python", MISSING, found, "VidPlan needs Python 3.10 to 3.13: make PYTHON=python3.12 demo")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return Check("Python", NOTE, found, "the ROS wheels exist for Linux x86_64 only; use a ROS installation here")
    return Check("Python", OK, found)


def disk() -> Check:
    """Room for runs."""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free < ENOUGH_DISK:
        return Check("disk", NOTE, f"{free:.1f} GB free here", f"runs and training data want {ENOUGH_DISK:.0f} GB")
    return Check("disk", OK, f"{free:.0f} GB free here")


def cores() -> Check:
    """Processors this program may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < ENOUGH_CORES:
        return Check("cores", NOTE, str(count), "the demo will run slower than real time; give it two")
    return Check("cores", OK, str(count))


def realtime(cell: Cell) -> Iterator[Check]:
    """All checks of this part."""
    yield kernel()
    yield priority(cell)


def kernel() -> Check:
    """The kernel that libfranka wants, and whether this user may use it."""
    kernel = platform.release()
    if not (REALTIME.exists() and REALTIME.read_text().strip() == "1") and "PREEMPT_RT" not in platform.version():
        advice = "the machine that drives the arm wants PREEMPT_RT (docs/first-trial.md); no other does"
        return Check("real-time kernel", SKIPPED, f"{kernel} is none", advice)
    allowed = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    if allowed != resource.RLIM_INFINITY and allowed < 99:
        advice = "add your user to a group with 'rtprio 99' in /etc/security/limits.conf, then log in again"
        return Check("real-time kernel", MISSING, f"{kernel}, but this user may only take priority {allowed}", advice)
    return Check("real-time kernel", OK, kernel)


def priority(cell: Cell) -> Check:
    """Whether the bridge may go before other programs, on any kernel: tried, in a process of its own."""
    wanted = cell.config.realtime_priority or RECOMMENDED
    tried = python_says(f"import os; os.sched_setscheduler(0, os.SCHED_RR, os.sched_param({wanted}))")
    if tried.returncode == 0:
        return Check("real-time priority", OK, f"the bridge may have --realtime-priority {wanted}")
    limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    return Check(
        "real-time priority",
        MISSING if cell.config.realtime_priority else NOTE,
        f"{wanted} is refused, this user's limit is {limit} ({last_line(tried.stderr)})",
        "commands come late when the machine is busy: '@realtime - rtprio 99' in /etc/security/limits.conf (in a "
        f"container ulimits: rtprio, see docker/compose.yaml), log in again, then --realtime-priority {RECOMMENDED}",
    )


def time_service(cell: Cell) -> Iterator[Check]:
    """Whether this machine's clock is kept right. Stamps of cameras on other machines are compared with it."""
    for command, good in ((["chronyc", "-n", "tracking"], "Normal"), (["timedatectl", "show"], "NTPSynchronized=yes")):
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        if done.returncode == 0:
            if good in done.stdout:
                yield Check("clock", OK, f"kept right ({command[0]})")
            else:
                advice = "install chrony on every machine of the cell, all with the same server"
                yield Check("clock", MISSING, f"not synchronised, says {command[0]}", advice)
            return
    yield Check("clock", SKIPPED, "neither chronyc nor timedatectl answers here", "stamps are checked with the cameras")
