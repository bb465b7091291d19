"""A ROS domain of one's own, so that a replay or a demo never meets a robot or another run on the network."""

from __future__ import annotations

import os
import random
import socket

LAST_DOMAIN = 101
"""Highest domain id whose ports stay clear of Linux's ephemeral ports."""
FIRST_PORT, PORTS_PER_DOMAIN, PORTS_PER_PARTICIPANT = 7410, 250, 2
"""UDP port of the first participant of domain 0; to the next domain's; to the next participant's (DDSI-RTPS 9.6.1)."""
PARTICIPANTS = 10
"""Participants looked for: Fast DDS numbers those of a process, so a process's second domain has no first one."""


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
    """Whether a program on this machine takes part in the domain: every participant there holds a known port."""
    first = FIRST_PORT + PORTS_PER_DOMAIN * domain
    return any(_is_bound(first + PORTS_PER_PARTICIPANT * participant) for participant in range(PARTICIPANTS))


def _is_bound(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return True
    return False


def _unused_domain() -> int:
    domains = list(range(1, LAST_DOMAIN + 1))
    random.SystemRandom().shuffle(domains)
    return next((domain for domain in domains if not in_use(domain)), domains[0])
