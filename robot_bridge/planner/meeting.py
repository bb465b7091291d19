"""Configuring: the planner is greeted, and what it promises is compared with this robot before anything may move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from plan_protocol.messages import PlannerSpec
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import MismatchError, PlannerError
from robot_bridge.planner.link import LinkEvent

LOOK_PERIOD = 0.02


class Greeter(Protocol):
    """What is needed of `robot_bridge.planner.link.PlannerLink`."""

    @property
    def spec(self) -> PlannerSpec | None: ...  # noqa: D102
    def poll(self) -> list[LinkEvent]: ...  # noqa: D102


def meet(
    link: Greeter, config: BridgeConfig, given_up: threading.Event, say: Callable[[str], None] = lambda words: None
) -> list[LinkEvent]:
    """Wait until the planner has been greeted and fits this robot.

    Args:
        link: A started connection.
        config: Patience, and what the robot needs.
        given_up: Set when nobody waits any more.
        say: Takes what is waited for, in words.

    Returns:
        The news that came meanwhile, for `Executor.hear`.

    Raises:
        MismatchError: It differs; the message names each difference.
        PlannerError: It does not answer in time.
    """
    deadline, told = time.monotonic() + config.connect_timeout, ""
    while True:
        for news in (heard := link.poll()):
            if news.kind == "mismatch":
                raise MismatchError(f"the planner at {config.server} does not fit this robot: {news.detail}")
            if news.kind == "connected" and link.spec is not None:
                _compare_rates(link.spec, config)
                return heard
            if news.detail and news.detail != told:
                told = news.detail
                say(told)
        if time.monotonic() > deadline:
            why = f": {told}" if told else ""
            raise PlannerError(f"no planner at {config.server} within {config.connect_timeout:g} s{why}")
        if given_up.wait(LOOK_PERIOD):
            raise PlannerError("nobody waits for the planner any more")


def _compare_rates(spec: PlannerSpec, config: BridgeConfig) -> None:
    found = rate_differences(spec, config)
    if found:
        raise MismatchError(f"the planner at {config.server} does not fit this robot: {'; '.join(found)}")


def rate_differences(spec: PlannerSpec, config: BridgeConfig) -> list[str]:
    """In which rates planner and bridge cannot work together, in words; empty where they can."""
    found = []
    if spec.frame_period < 2 * config.control_period:
        found.append(
            f"frame period: the planner's waypoints are {spec.frame_period:g} s apart, this bridge commands every "
            f"{config.control_period:.3f} s; raise control_rate to {2 / spec.frame_period:g} Hz or more"
        )
    if spec.horizon * spec.frame_period < config.stop_time:
        found.append(
            f"horizon: the planner's chunks last {spec.horizon * spec.frame_period:g} s, the arm needs stop_time "
            f"{config.stop_time:g} s to stop"
        )
    if spec.plan_latency > config.request_timeout:
        found.append(
            f"latency: the planner needs {spec.plan_latency:.1f} s for a plan, request_timeout is "
            f"{config.request_timeout:g} s"
        )
    return found
