"""The connection to a real protocol server: verified promises, loss and return noticed, nothing ever waits."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from cell_fakes import SPEC, make_plan, straight

from plan_protocol.keys_cli import make_keys, server_keys
from plan_protocol.messages import CameraSpec, Observation, Plan, PlanRequest
from plan_protocol.server import PlanServer
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import ConfigError
from robot_bridge.planner.link import LinkEvent, PlannerLink, differences, renewed


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def planner(request: PlanRequest, context) -> Plan:
    return make_plan(request, straight(request, np.zeros(7)))


def request() -> PlanRequest:
    observation = Observation(
        np.zeros((2, 3, 12, 20, 3), np.uint8), np.array([1.0, 1.2]), np.zeros((2, 7)), np.zeros(7)
    )
    return PlanRequest("wave", observation, np.zeros((0, 7)), np.zeros(7), 5.0)


@pytest.fixture
def link():
    link = PlannerLink(BridgeConfig(server=free_address()))
    link.start()
    yield link
    link.close()


def until(link: PlannerLink, found: Callable[[LinkEvent], bool], seconds: float = 10.0) -> list[LinkEvent]:
    """Everything polled until something is found; no single poll may wait."""
    news: list[LinkEvent] = []
    end = time.monotonic() + seconds
    while not any(found(item) for item in news):
        assert time.monotonic() < end, f"only {[(item.kind, item.detail) for item in news]}"
        news += link.poll()
        time.sleep(0.01)
    return news


def test_with_keys_only_a_robot_the_server_knows_is_greeted(tmp_path):
    make_keys(tmp_path, "robot")
    make_keys(tmp_path / "elsewhere", "stranger")
    address = free_address()
    with PlanServer(address, SPEC, planner, keys=server_keys(tmp_path / "server")):
        known = PlannerLink(BridgeConfig(server=address, curve_keys=str(tmp_path / "robot")))
        stranger = PlannerLink(BridgeConfig(server=address, curve_keys=str(tmp_path / "elsewhere" / "stranger")))
        try:
            stranger.start()
            known.start()
            until(known, lambda item: item.kind == "connected")
            assert not stranger.ready
        finally:
            known.close()
            stranger.close()
    with pytest.raises(ConfigError, match=r"curve_keys: .*vidplan keys"):
        PlannerLink(BridgeConfig(curve_keys=str(tmp_path))).start()


def test_greets_plans_notices_loss_and_return(link):
    address = link.config.server
    with PlanServer(address, SPEC, planner):
        until(link, lambda item: item.kind == "connected")
        assert link.ready
        assert link.spec == SPEC
        number = link.request(request())
        reply = until(link, lambda item: item.request_id == number and isinstance(item.reply, Plan))[-1].reply
        assert reply.observation_stamp == 1.2
        link.forget_task()
        assert not link.ready, "not before the server knows of the new task"
        end = time.monotonic() + 5
        while not link.ready:
            assert time.monotonic() < end
            time.sleep(0.01)
    until(link, lambda item: item.kind == "lost")
    assert not link.ready
    with PlanServer(address, replace(SPEC, model_hash="1" * 64), planner):
        back = until(link, lambda item: item.kind == "back")[-1]
        assert "model_hash" in back.detail
        assert link.spec.model_hash == "1" * 64


def test_a_planner_that_does_not_fit_is_named_once_and_never_used(link):
    wrong = replace(SPEC, robots=("ur5",), rotation="quaternion", cameras=(*SPEC.cameras, CameraSpec("top", 12, 20)))
    with PlanServer(link.config.server, wrong, planner):
        news = until(link, lambda item: item.kind == "mismatch")
        for word in ("ur5", "quaternion", "top"):
            assert word in news[-1].detail
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            news += link.poll()
            time.sleep(0.05)
        assert [item.kind for item in news].count("mismatch") == 1
        assert not link.ready


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ()),
        ({"history_offsets": (0, -1)}, ("history offsets",)),
        ({"history_offsets": ()}, ("history offsets",)),
        ({"workspace_lower": (0.9, -0.5, 0.1), "workspace_upper": (1.2, 0.5, 0.5)}, ("nothing in common",)),
        ({"pose_frame": "hand", "length_unit": "mm"}, ("hand", "mm")),
    ],
)
def test_differences_are_named(change, words):
    found = "; ".join(differences(replace(SPEC, **change), BridgeConfig()))
    assert bool(found) == bool(words)
    assert all(word in found for word in words)


def test_what_a_new_server_does_otherwise():
    assert renewed(SPEC, SPEC) == []
    assert renewed(SPEC, replace(SPEC, horizon=8)) == ["horizon 5 -> 8"]
