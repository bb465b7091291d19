"""Joint positions at a high rate, for controllers that only take positions: the bridge interpolates itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np

from robot_bridge.execution.smoothing import SentMotion
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.sensing.synchroniser import JointSample

logger = logging.getLogger(__name__)


class PositionStream:
    """Publishes where the arm is told to be now, many times a second, from a thread of its own.

    The guarded motion is sampled exactly (constant jerk between its nodes), so what holds for it holds for the samples.
    After its end the last position is repeated once and the stream pauses: the controller holds it.
    """

    def __init__(self, publish: Callable[[np.ndarray], None], clock: Callable[[], float], rate: float) -> None:
        """Create it.

        Args:
            publish: Takes joint positions ``(7,)`` rad, in the stream's thread.
            clock: Seconds on the robot's clock.
            rate: Samples per second of wall clock.
        """
        self._publish, self._clock, self._period = publish, clock, 1.0 / rate
        self._motion: SentMotion | None = None
        self._trouble: Finding | None = None
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="position-stream", daemon=True)

    def start(self, take_joints: Callable[[JointSample], object]) -> None:
        """See `RobotBackend.start`."""
        self._thread.start()

    def send(self, motion: SentMotion) -> None:
        """See `RobotBackend.send`."""
        self._motion = motion
        self._wake.set()

    def trouble(self) -> Finding | None:
        """See `RobotBackend.trouble`."""
        trouble, self._trouble = self._trouble, None
        return trouble

    def close(self) -> None:
        """See `RobotBackend.close`."""
        self._closed = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._closed:
            motion = self._motion
            if motion is None:
                self._wake.wait()
                self._wake.clear()
                due = time.monotonic()
                continue
            self._sample(motion)
            due = max(due + self._period, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def _sample(self, motion: SentMotion) -> None:
        now = self._clock()
        try:
            self._publish(motion.state(now)[0])
        except Exception as error:
            logger.exception("a position could not be published")
            self._trouble = Finding(Reason.BACKEND_ERROR, f"a position could not be published: {error!r}")
            self._motion = None
            return
        if now >= motion.end and self._motion is motion:
            self._motion = None
