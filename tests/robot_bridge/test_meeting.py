"""Configuring: who is greeted, who is refused, and that every difference is named."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from cell_fakes import SPEC

from robot_bridge.config import BridgeConfig
from robot_bridge.errors import MismatchError, PlannerError
from robot_bridge.planner.link import LinkEvent
from robot_bridge.planner.meeting import meet, rate_differences


class Link:
    """A connection with prepared news."""

    def __init__(self, *news: LinkEvent, spec=SPEC) -> None:
        self.news, self.spec = list(news), spec

    def poll(self) -> list[LinkEvent]:
        return [self.news.pop(0)] if self.news else []


def test_the_news_of_the_greeting_are_handed_on():
    said: list[str] = []
    link = Link(LinkEvent("waiting", "nobody there"), LinkEvent("connected", "fake"))
    news = meet(link, BridgeConfig(), threading.Event(), said.append)
    assert [entry.kind for entry in news] == ["connected"]
    assert said == ["nobody there"]


def test_a_planner_that_differs_is_refused_with_the_difference():
    with pytest.raises(MismatchError, match="gripper: the planner uses"):
        meet(Link(LinkEvent("mismatch", "gripper: the planner uses 'x'")), BridgeConfig(), threading.Event())


def test_nobody_there_is_said_with_address_and_reason():
    config = BridgeConfig(server="tcp://127.0.0.1:9", connect_timeout=0.5)
    with pytest.raises(PlannerError, match=r"no planner at tcp://127.0.0.1:9 within 0.5 s: refused"):
        meet(Link(LinkEvent("waiting", "refused")), config, threading.Event())


def test_giving_up_ends_the_waiting():
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(PlannerError):
        meet(Link(), BridgeConfig(connect_timeout=600.0), given_up)


@pytest.mark.parametrize(
    ("spec", "settings", "named"),
    [
        ({"frame_period": 0.1}, {}, "frame period"),
        ({"horizon": 1}, {"stop_time": 0.5}, "horizon"),
        ({"plan_latency": 40.0}, {}, "latency"),
    ],
)
def test_rates_that_do_not_go_together_are_named(spec, settings, named):
    config, changed = BridgeConfig(**settings), replace(SPEC, **spec)
    assert [named in words for words in rate_differences(changed, config)] == [True]
    with pytest.raises(MismatchError, match=named):
        meet(Link(LinkEvent("connected", "fake"), spec=changed), config, threading.Event())
    assert not rate_differences(SPEC, BridgeConfig())
