"""Threads that spin: an error in a callback is survived, and a bad transition too."""

from __future__ import annotations

import threading

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed: see `vidplan doctor`")

from robot_bridge.ros.ros_edge import Spinner, plain_node, steady_timer  # noqa: E402


def test_an_error_in_a_callback_does_not_end_the_thread(ros_context):
    again, calls = threading.Event(), []

    def callback() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("once")
        again.set()

    spinner = Spinner(plain_node("test_spinner", ros_context, sim_time=False), ros_context)
    steady_timer(spinner.node, 0.01, callback)
    spinner.start()
    assert again.wait(30.0)
    assert spinner.running
    spinner.close()
    assert not spinner.running
