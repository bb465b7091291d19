"""Real-time priority: asked for only where it is wanted, handed on to threads, refused with what to do."""

from __future__ import annotations

import os
import threading

import pytest

from robot_bridge.errors import ConfigError
from robot_bridge.ros import realtime


def test_it_is_handed_on_and_none_is_asked_for_by_default(monkeypatch: pytest.MonkeyPatch):
    asked = []
    monkeypatch.setattr(os, "sched_setscheduler", lambda *what: asked.append(what))
    realtime.claim(0)
    assert asked == []
    realtime.claim(10)
    assert asked == [(0, os.SCHED_RR, os.sched_param(10))]


def test_a_refusal_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    def refuse(*what):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with pytest.raises(ConfigError, match=r"realtime_priority.*rtprio.*limits\.conf"):
        realtime.claim(10)


def test_threads_started_later_have_it_too():
    """The kernel's own promise, which `claim` rests on."""
    found = []

    def claims_and_starts():
        try:
            realtime.claim(1)
        except ConfigError:
            found.append(None)
            return
        inner = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
        inner.start()
        inner.join()

    outer = threading.Thread(target=claims_and_starts)
    outer.start()
    outer.join()
    if found == [None]:
        pytest.skip("this user may not have a real-time priority")
    assert found == [os.SCHED_RR]
    assert os.sched_getscheduler(0) == os.SCHED_OTHER, "who did not ask for it is left as it was"
