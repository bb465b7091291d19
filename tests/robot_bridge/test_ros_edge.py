"""Threads that spin: an error in a callback is survived, and a bad transition too."""

from __future__ import annotations

import threading
import time

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


def test_an_executor_that_is_shut_down_under_a_callback_is_no_error(ros_context, caplog):
    entered, leave = threading.Event(), threading.Event()

    def callback() -> None:
        entered.set()
        leave.wait(30.0)
        raise AttributeError("'NoneType' object has no attribute 'trigger'")

    spinner = Spinner(plain_node("test_spinner", ros_context, sim_time=False), ros_context)
    steady_timer(spinner.node, 0.01, callback)
    spinner.start()
    assert entered.wait(30.0)
    closing = threading.Thread(target=spinner.close)
    closing.start()
    while not spinner.closing:
        time.sleep(0.001)
    leave.set()
    closing.join(30.0)
    assert not spinner.running
    assert not caplog.records
