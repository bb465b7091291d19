"""Real-time priority: on a machine with other work, commands leave on time only where the bridge goes first."""

from __future__ import annotations

import os

from robot_bridge.errors import ConfigError


def claim(priority: int) -> None:
    """Give this thread, and those that it starts from now on, a real-time priority.

    All of them, because the interpreter's lock is shared: a thread that waits for it waits for whoever holds it. The
    kernel keeps 5 % of each second for everything else; franka_ros2's own threads run at 50 and above and go first.

    Args:
        priority: Of SCHED_RR; 0 leaves everything as it is.

    Raises:
        ConfigError: This user may not have it.
    """
    if not priority:
        return
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(priority))
    except (AttributeError, OSError) as error:
        raise ConfigError(
            "realtime_priority",
            f"{priority} was refused ({error}): give this user 'rtprio 99' in /etc/security/limits.conf, as "
            "franka_ros2 wants too, and log in again; or set 0",
        ) from error
