"""Work that may take its time, in a thread of its own: pictures and health never delay a command."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

WAITING = 4
"""Jobs that may wait; beyond, new ones are left out: what is shown late is of no use."""

logger = logging.getLogger(__name__)


class Background:
    """Does jobs one after the other, and one job again and again in between."""

    def __init__(self, name: str, period: float, regularly: Callable[[], None]) -> None:
        """Create it.

        Args:
            name: Of the thread.
            period: Seconds of wall clock between two calls of ``regularly``.
            regularly: Called again and again.
        """
        self._period, self._regularly = period, regularly
        self._jobs: queue.Queue[Callable[[], None]] = queue.Queue(WAITING)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def do(self, job: Callable[[], None]) -> bool:
        """Have a job done soon; False where too many wait already."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """End after the job at hand, without those that wait."""
        self._ended = True
        self.do(lambda: None)
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _run(self) -> None:
        due = time.monotonic() + self._period
        while not self._ended:
            try:
                job = self._jobs.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                job, due = self._regularly, time.monotonic() + self._period
            try:
                job()
            except Exception:
                logger.exception("%s failed", getattr(job, "__name__", job))
