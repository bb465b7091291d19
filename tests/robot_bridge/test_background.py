"""Work beside the control thread: in order, bounded, and an error ends nothing."""

from __future__ import annotations

import threading

from robot_bridge.background import WAITING, Background


def test_jobs_are_done_in_order_and_an_error_ends_nothing():
    done, finished = [], threading.Event()
    background = Background("test", 3600.0, lambda: None)
    background.start()
    for job in (lambda: done.append(1), lambda: 1 / 0, lambda: done.append(2), finished.set):
        assert background.do(job)
    assert finished.wait(30.0)
    assert done == [1, 2]
    background.close()


def test_what_cannot_be_done_in_time_is_left_out():
    background = Background("test", 3600.0, lambda: None)
    assert [background.do(lambda: None) for _ in range(WAITING + 1)] == [True] * WAITING + [False]
    background.close()


def test_the_regular_job_comes_again_and_again_between_the_others():
    twice, count = threading.Event(), []

    def regularly() -> None:
        count.append(1)
        if len(count) == 2:
            twice.set()

    background = Background("test", 0.01, regularly)
    background.start()
    assert twice.wait(30.0)
    background.close()
