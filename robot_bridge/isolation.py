"""A ROS domain of one's own, so that a replay or a demo never meets a robot or another run on the network."""

from __future__ import annotations

import os
import random

LAST_DOMAIN = 101
"""Highest domain id whose ports stay clear of Linux's ephemeral ports."""


def isolated(domain: int | None = None) -> dict[str, str]:
    """Environment variables of a ROS domain on this machine only: ``domain``, or a random one."""
    chosen = domain if domain is not None else random.SystemRandom().randint(1, LAST_DOMAIN)
    # Before Iron the range was a switch, which later releases call deprecated.
    old = os.environ.get("ROS_DISTRO") in ("foxy", "galactic", "humble")
    local = {"ROS_LOCALHOST_ONLY": "1"} if old else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    return {"ROS_DOMAIN_ID": str(chosen), **local}


def isolate(domain: int | None = None) -> int:
    """Move this process there before ROS starts; returns the domain id."""
    variables = isolated(domain)
    os.environ.update(variables)
    return int(variables["ROS_DOMAIN_ID"])
