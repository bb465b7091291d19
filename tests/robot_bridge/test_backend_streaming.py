"""Positions at a high rate: samples of the guarded motion, and a pause when it is over."""

from __future__ import annotations

import threading
import time

import numpy as np

from robot_bridge.backends.streaming import PositionStream
from robot_bridge.config import BridgeConfig
from robot_bridge.execution.limits import JointLimits
from robot_bridge.execution.smoothing import SentMotion, smooth
from robot_bridge.execution.trajectory import follow
from robot_bridge.guard.reasons import Reason
from robot_model.conventions import DROID_RESET_JOINTS as RESET
from robot_model.franka import PANDA

LIMITS = JointLimits.of(PANDA, BridgeConfig())


class Ticks:
    """A clock that goes on by 5 ms with every look, and then stands."""

    def __init__(self) -> None:
        self.now = 10.0

    def __call__(self) -> float:
        self.now += 0.005
        return self.now


def motion(begin: float) -> SentMotion:
    targets = RESET + np.outer(np.minimum(np.arange(1, 11) / 8, 1.0), np.full(7, 0.05))
    return smooth(follow(begin, RESET, np.zeros(7), targets, LIMITS), begin, LIMITS)


def test_samples_are_the_motion_and_end_with_it():
    samples: list[np.ndarray] = []
    stream = PositionStream(samples.append, Ticks(), rate=2000.0)
    sent = motion(10.1)
    stream.start(lambda sample: None)
    stream.send(sent)
    end = time.monotonic() + 10.0
    while not samples or np.abs(samples[-1] - sent.positions[-1]).max() > 0:
        assert time.monotonic() < end
        time.sleep(0.01)
    stream.close()
    count = len(samples)
    time.sleep(0.05)
    assert len(samples) == count
    times = 10.005 + 0.005 * np.arange(len(samples))
    assert np.allclose(samples, [sent.state(moment)[0] for moment in times], atol=1e-9)
    speeds = np.diff(samples, axis=0) / 0.005
    assert np.abs(speeds).max() <= LIMITS.velocity.max()
    assert (np.abs(np.diff(speeds, axis=0)) / 0.005 <= LIMITS.acceleration * 1.01 + 1e-6).all()


def test_an_error_while_publishing_ends_the_motion_and_is_told():
    failed = threading.Event()

    def publish(joints: np.ndarray) -> None:
        failed.set()
        raise RuntimeError("no such topic")

    stream = PositionStream(publish, Ticks(), rate=1000.0)
    stream.start(lambda sample: None)
    stream.send(motion(10.0))
    assert failed.wait(10.0)
    end = time.monotonic() + 10.0
    while (trouble := stream.trouble()) is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    assert trouble.reason is Reason.BACKEND_ERROR
    assert "no such topic" in trouble.detail
    stream.close()
