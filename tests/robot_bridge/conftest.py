"""Fixtures for the bridge's tests."""

from __future__ import annotations

import os

import pytest

DOMAIN = 71
"""ROS domain of the bridge's tests; parallel workers get their own."""


@pytest.fixture
def ros_context(monkeypatch: pytest.MonkeyPatch):
    """An rclpy context in a domain of its own, visible on this machine only."""
    rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed: see `vidplan doctor`")
    from rclpy.signals import SignalHandlerOptions

    worker = int("".join(filter(str.isdigit, os.environ.get("PYTEST_XDIST_WORKER", ""))) or 0)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN + worker))
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN + worker, signal_handler_options=SignalHandlerOptions.NO)
    yield context
    rclpy.try_shutdown(context=context)
