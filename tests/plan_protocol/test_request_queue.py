"""The server's waiting room, without sockets."""

from __future__ import annotations

import threading
import time

import pytest

from plan_protocol import limits
from plan_protocol.codec import Envelope, Header
from plan_protocol.errors import BusyError
from plan_protocol.request_queue import Context, Job, RequestQueue, ResetOrder


def job(robot: str = "a", request: int = 1, deadline: float = 60.0, session: str = "s", peer: bytes = b"p") -> Job:
    header = Header(robot, session, request, deadline=deadline, type="plan_request")
    return Job(peer, Envelope(header, {}, []), [], Context(robot, session))


def test_the_newest_request_of_a_robot_takes_the_place_of_the_older():
    queue, first, second = RequestQueue(), job(request=1), job(request=2)
    assert queue.put(first) is None
    assert queue.put(second) is first
    assert (len(queue), queue.dropped) == (1, 1)
    assert queue.take() is second


def test_robots_take_turns_however_often_one_asks():
    queue = RequestQueue()
    for number in range(3):
        queue.put(job("eager", number))
    other = job("patient")
    queue.put(other)
    queue.put(job("eager", 9))
    taken = queue.take()
    assert taken.header.request == 9
    queue.finish(taken)
    queue.put(job("eager", 10))
    assert queue.take() is other


def test_expired_jobs_are_never_taken():
    queue, late, fresh = RequestQueue(), job("a", deadline=0.001), job("b")
    queue.put(late)
    queue.put(fresh)
    time.sleep(0.005)
    assert queue.next_expiry() == late.expires
    assert queue.take() is fresh
    assert queue.expire(time.monotonic()) == [late]
    assert queue.next_expiry() is None
    assert queue.dropped == 1


def test_cancel_finds_waiting_and_running_jobs_of_that_client_only():
    queue, running, waiting = RequestQueue(), job(request=1), job(request=2)
    queue.put(running)
    queue.take()
    queue.put(waiting)
    assert queue.cancel(b"other", "s", 1) is None
    assert queue.cancel(b"p", "old session", 1) is None
    assert not running.context.cancelled
    assert queue.cancel(b"p", "s", 1) is running
    assert queue.cancel(b"p", "s", 1) is None, "cancelling twice drops once"
    assert queue.cancel(b"p", "s", 2) is waiting
    assert (len(queue), queue.dropped) == (0, 2)
    assert running.context.cancelled
    assert waiting.context.cancelled


def test_reset_drops_the_robots_jobs_and_comes_before_its_next():
    queue, running, waiting, other = RequestQueue(), job("a", 1), job("a", 2), job("b", 1)
    queue.put(running)
    queue.take()
    queue.put(waiting)
    queue.put(other)
    assert queue.reset("a") == [waiting, running]
    queue.put(next_one := job("a", 3))
    queue.finish(running)
    assert queue.take() == ResetOrder("a")
    assert queue.take() is other
    assert not other.context.cancelled
    queue.finish(ResetOrder("a"))
    assert queue.take() is next_one


def test_several_workers_share_the_robots_but_never_one_robot():
    queue, first, second, other = RequestQueue(), job("a", 1), job("a", 2), job("b", 1)
    for waiting in (first, other):
        queue.put(waiting)
    assert [queue.take(), queue.take()] == [first, other]
    queue.put(second)
    queue.reset("b")
    taken: list = []
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    assert queue.busy
    queue.finish(other)
    thread.join(5)
    assert taken == [ResetOrder("b")], "a plan of the robot a is being made"
    queue.finish(first)
    assert queue.take() is second


def test_strangers_cannot_fill_the_memory():
    queue = RequestQueue()
    for i in range(limits.MAX_WAITING_ROBOTS):
        queue.put(job(f"robot {i}"))
        queue.reset(f"other {i}")
    with pytest.raises(BusyError):
        queue.put(job("one more"))
    with pytest.raises(BusyError):
        queue.reset("one more")
    assert queue.put(job("robot 3", 2)) is not None, "a robot that waits may still renew its request"


def test_close_ends_take_and_tells_the_running_job():
    queue, running = RequestQueue(), job()
    queue.put(running)
    queue.take()
    taken: list = ["nothing yet"]
    thread = threading.Thread(target=lambda: taken.append(queue.take()))
    thread.start()
    queue.close()
    thread.join(2)
    assert taken == ["nothing yet", None]
    assert running.context.cancelled
