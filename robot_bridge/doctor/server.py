"""The planner server: keys, reachable, and made for this robot."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from plan_protocol.client import PlanClient
from plan_protocol.errors import AddressError, ProtocolError
from plan_protocol.keys_cli import client_keys
from plan_protocol.messages import Hello
from plan_protocol.security import is_local
from robot_bridge.doctor.check import MISSING, NOTE, OK, SKIPPED, Cell, Check
from robot_bridge.planner.link import differences

ANSWER = 3.0
"""Seconds the server gets to answer."""


def server(cell: Cell) -> Iterator[Check]:
    """All checks of this part."""
    yield keys(cell)
    yield from answers(cell)


def keys(cell: Cell) -> Check:
    """Whether the keys are there where they are needed, and nobody else can read them."""
    given = cell.config.curve_keys
    if not given:
        if on_this_machine(cell.config.server):
            return Check("keys", OK, "none needed on this machine")
        return Check("keys", NOTE, "none for a server on another machine", "vidplan keys, then --curve-keys DIR")
    try:
        client_keys(Path(given))
    except ProtocolError as error:
        return Check("keys", MISSING, str(error), "vidplan keys DIR --robot NAME; the folder NAME belongs here")
    secret = next(Path(given).glob("*.key_secret"))
    if stat.S_IMODE(secret.stat().st_mode) & 0o077:
        return Check("keys", MISSING, f"others can read {secret}", f"chmod 600 {secret}; better: make new ones")
    return Check("keys", OK, str(given))


def on_this_machine(address: str) -> bool:
    """Whether only this machine can reach an address; one that is none counts as another machine's."""
    try:
        return is_local(address)
    except AddressError:
        return False


def answers(cell: Cell) -> Iterator[Check]:
    """Whether it answers, how busy it is, and whether what it promises fits this robot."""
    config = cell.config
    try:
        found = client_keys(Path(config.curve_keys)) if config.curve_keys else None
        with PlanClient(config.server, f"doctor-{os.getpid()}", keys=found) as client:
            status = client.status(ANSWER)
            spec = client.hello(Hello(config.robot, "doctor"), ANSWER)
    except ProtocolError as error:
        advice = (
            "vidplan serve there; from here: ping, firewall (the port in --server); keys: both sides none, or both of "
            "one `vidplan keys` folder"
        )
        where = SKIPPED if on_this_machine(config.server) and not isinstance(error, AddressError) else MISSING
        yield Check("server", where, f"{config.server}: {error}", advice)
        return
    doing = "planning" if status.busy else "idle"
    yield Check("server", OK, f"{spec.model_name} ({spec.model_hash[:12]}), {doing}, up for {status.uptime:.0f} s")
    wrong = differences(spec, config)
    if wrong:
        yield Check("server's spec", MISSING, "; ".join(wrong), "serve a bundle made for this robot, or mend --robot")
    else:
        yield Check("server's spec", OK, f"{spec.plan_latency:.1f} s per plan, {spec.horizon} frames ahead")
