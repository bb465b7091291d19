"""A ROS domain of one's own, so that a replay or a demo never meets a robot or another run on the network."""

from __future__ import annotations

import os
import random
import socket

LAST_DOMAIN = 101
"""Highest domain id whose ports stay clear of Linux's ephemeral ports."""
FIRST_PORT, PORTS_PER_DOMAIN = 7410, 250
"""UDP port of the first participant of domain 0, and the distance to the next domain's (DDSI-RTPS 9.6.1)."""


def isolated(domain: int | None = None) -> dict[str, str]:
    """Environment variables of a ROS domain on this machine only: ``domain``, or a random one that nobody uses here."""
    chosen = domain if domain is not None else _unused_domain()
    # Before Iron the range was a switch, which later releases call deprecated.
    old = os.environ.get("ROS_DISTRO") in ("foxy", "galactic", "humble")
    local = {"ROS_LOCALHOST_ONLY": "1"} if old else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    return {"ROS_DOMAIN_ID": str(chosen), **local}


def isolate(domain: int | None = None) -> int:
    """Move this process there before ROS starts; returns the domain id."""
    variables = isolated(domain)
    os.environ.update(variables)
    return int(variables["ROS_DOMAIN_ID"])


def in_use(domain: int) -> bool:
    """Whether a program on this machine takes part in the domain: the first one there holds a known port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", FIRST_PORT + PORTS_PER_DOMAIN * domain))
        except OSError:
            return True
    return False


def _unused_domain() -> int:
    domains = list(range(1, LAST_DOMAIN + 1))
    random.SystemRandom().shuffle(domains)
    return next((domain for domain in domains if not in_use(domain)), domains[0])
