"""Client and server over real loopback sockets."""

from __future__ import annotations

import dataclasses
import threading
import time

import msgpack
import numpy as np
import protocol_samples as samples
import pytest
import zmq

from plan_protocol import codec, errors, limits
from plan_protocol.client import PlanClient
from plan_protocol.codec import NOBODY, Header
from plan_protocol.messages import (
    PROTOCOL_VERSION,
    Done,
    ErrorReply,
    Hello,
    Plan,
    PlanRequest,
    Progress,
    Reset,
    Status,
    StatusRequest,
)
from plan_protocol.server import Context, PlanServer

WAIT = 10.0  # generous: the machine that runs the tests may be busy


class Planner:
    """Answers at once, unless told to wait for `release`."""

    def __init__(self) -> None:
        self.seen: list[PlanRequest] = []
        self.contexts: list[Context] = []
        self.resets: list[str] = []
        self.release, self.begun = threading.Event(), threading.Event()
        self.release.set()
        self.action = lambda request, context: samples.plan(request.observation_stamp)

    def __call__(self, request: PlanRequest, context: Context) -> Plan:
        self.seen.append(request)
        self.contexts.append(context)
        self.begun.set()
        assert self.release.wait(WAIT)
        return self.action(request, context)

    def reset(self, robot_id: str) -> None:
        self.resets.append(robot_id)

    def hold(self) -> None:
        self.release.clear()
        self.begun.clear()


@pytest.fixture
def planner():
    return Planner()


@pytest.fixture
def server(planner):
    with PlanServer("tcp://127.0.0.1:*", samples.spec(), planner) as server:
        yield server
        planner.release.set()


@pytest.fixture
def client(server):
    with PlanClient(server.address, "cell-3", heartbeat_timeout=5.0) as client:
        assert client.hello(Hello("panda", "0.1.0"), WAIT) == samples.spec()
        yield client


@pytest.fixture
def dealer(server):
    """A bare socket, as another language would have."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.rcvtimeo = int(1e3 * WAIT)
    socket.connect(server.address)
    yield socket
    socket.close()
    context.term()


def wait_for(condition) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def finals(client: PlanClient, count: int) -> dict[int, Plan | ErrorReply]:
    """The final answers of `count` requests."""
    answers: dict[int, Plan | ErrorReply] = {}
    end = time.monotonic() + WAIT
    while len(answers) < count and time.monotonic() < end:
        answers.update({n: reply for n, reply in client.poll(0.2) if not isinstance(reply, Progress)})
    assert len(answers) == count
    return answers


def code(reply) -> str:
    assert isinstance(reply, ErrorReply), reply
    return reply.code


def test_plan_and_its_timings(client, planner):
    request = samples.request(3.5)
    planner.action = lambda request, context: context.timings.update(refine=7.0) or samples.plan(3.5)
    plan = client.plan(request, WAIT)
    assert plan.observation_stamp == 3.5
    assert {"queue", "decode", "encode", "imagine", "score", "refine"} == set(plan.timings)
    assert (plan.timings["imagine"], plan.timings["refine"]) == (120.5, 7.0)
    np.testing.assert_array_equal(planner.seen[0].observation.images, request.observation.images)
    assert planner.contexts[0].robot_id == "cell-3"
    assert planner.contexts[0].session == client.session


def test_progress_comes_before_the_plan(client, planner):
    def action(request, context):
        context.progress("imagine", 0.25)
        context.progress("refine", 0.75)
        return samples.plan(request.observation_stamp)

    planner.action = action
    number = client.request(samples.request())
    replies = []
    while not replies or not isinstance(replies[-1][1], Plan):
        replies += client.poll(WAIT)
    assert [n for n, _ in replies] == [number] * 3
    assert [reply for _, reply in replies[:2]] == [Progress("imagine", 0.25), Progress("refine", 0.75)]


def test_jpeg_is_decoded_by_the_server(planner):
    request = samples.request(size=(96, 160))
    cameras = tuple(dataclasses.replace(camera, height=96, width=160) for camera in samples.spec().cameras)
    with (
        PlanServer("tcp://127.0.0.1:*", samples.spec(cameras=cameras), planner) as server,
        PlanClient(server.address, "r", compress="jpeg") as client,
    ):
        client.plan(request, WAIT)
    seen = planner.seen[0].observation.images.astype(int)
    assert 0 < np.abs(seen - request.observation.images).mean() < 3


def test_status_counts(client, planner):
    client.plan(samples.request(), WAIT)
    planner.hold()
    client.request(samples.request())
    assert planner.begun.wait(WAIT)
    client.request(samples.request())
    client.request(samples.request())
    status = client.status(WAIT)
    assert status == Status(busy=True, queued=1, plans=1, dropped=1, uptime=status.uptime)
    assert status.uptime > 0


def test_newest_observation_wins(client, planner):
    planner.hold()
    running = client.request(samples.request(1.0))
    assert planner.begun.wait(WAIT)
    older, newer = client.request(samples.request(2.0)), client.request(samples.request(3.0))
    assert code(finals(client, 1)[older]) == "superseded"
    planner.release.set()
    answers = finals(client, 2)
    assert (answers[running].observation_stamp, answers[newer].observation_stamp) == (1.0, 3.0)
    assert [request.observation_stamp for request in planner.seen] == [1.0, 3.0]


def test_expired_requests_are_dropped_while_the_planner_works(client, planner):
    planner.hold()
    client.request(samples.request(1.0))
    assert planner.begun.wait(WAIT)
    late = client.request(samples.request(2.0, deadline=0.02))
    answer = finals(client, 1)[late]
    assert (code(answer), answer.retryable) == ("expired", True)
    planner.release.set()
    finals(client, 1)
    client.plan(samples.request(3.0), WAIT)
    assert [request.observation_stamp for request in planner.seen] == [1.0, 3.0]


def test_cancel_of_waiting_and_running(client, planner):
    planner.hold()
    running = client.request(samples.request(1.0))
    assert planner.begun.wait(WAIT)
    waiting = client.request(samples.request(2.0))
    client.cancel(waiting)
    client.cancel(running)
    client.cancel(12345)
    assert {n: code(reply) for n, reply in client.poll(WAIT)} == {running: "cancelled", waiting: "cancelled"}
    wait_for(lambda: planner.contexts[0].cancelled)
    planner.release.set()
    assert client.plan(samples.request(3.0), WAIT).observation_stamp == 3.0
    assert client.poll() == [], "the cancelled plan must not arrive later"
    assert [request.observation_stamp for request in planner.seen] == [1.0, 3.0]
    assert client.status(WAIT).dropped == 2


def test_an_earlier_plan_is_never_the_answer_to_the_next_request(client, planner):
    planner.hold()
    with pytest.raises(errors.ReplyTimeoutError):
        client.plan(samples.request(1.0), 0.05)
    threading.Timer(0.05, planner.release.set).start()
    assert client.plan(samples.request(2.0), WAIT).observation_stamp == 2.0
    assert client.poll(0.05) == []


def test_a_plan_for_another_observation_is_an_error(client, planner):
    planner.action = lambda request, context: samples.plan(99.0)
    with pytest.raises(errors.InternalServerError, match="made for the observation"):
        client.plan(samples.request(1.0), WAIT)


def test_reset_cancels_and_comes_before_the_next_plan(client, planner):
    planner.hold()
    running = client.request(samples.request(1.0))
    assert planner.begun.wait(WAIT)
    client.reset(WAIT)
    assert code(finals(client, 1)[running]) == "cancelled"
    order = []
    planner.reset = lambda robot: order.append(robot)
    planner.action = lambda request, context: order.append("plan") or samples.plan(request.observation_stamp)
    planner.release.set()
    client.plan(samples.request(2.0), WAIT)
    assert order == ["plan", "cell-3", "plan"], "the running one ends, the reset, then the next"


def test_reset_without_a_reset_method():
    with (
        PlanServer("tcp://127.0.0.1:*", samples.spec(), lambda r, c: samples.plan(r.observation_stamp)) as server,
        PlanClient(server.address, "r") as client,
    ):
        client.reset(WAIT)
        client.plan(samples.request(), WAIT)


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda request, context: 1 / 0, "ZeroDivisionError"),
        (lambda request, context: None, "planner"),
        (lambda request, context: samples.plan(12.4, horizon=3), "promised are 5"),
        (lambda request, context: samples.plan(12.4, poses=np.full((5, 7), np.nan)), "not finite"),
        (lambda request, context: context.progress("imagine", 7.0), "progress"),
    ],
)
def test_a_failing_planner_is_an_error_and_the_server_goes_on(client, planner, action, words):
    good, planner.action = planner.action, action
    with pytest.raises(errors.InternalServerError, match=words):
        client.plan(samples.request(12.4), WAIT)
    planner.action = good
    client.plan(samples.request(), WAIT)


def test_a_planner_may_raise_the_protocols_own_errors(client, planner):
    def action(request, context):
        raise errors.BusyError("the model is being loaded")

    planner.action = action
    with pytest.raises(errors.BusyError, match="being loaded") as caught:
        client.plan(samples.request(), WAIT)
    assert caught.value.retryable


def test_requests_that_do_not_fit_are_refused(client, planner):
    with pytest.raises(errors.SpecMismatchError, match="40x24"):
        client.plan(samples.request(size=(24, 40)), WAIT)
    with pytest.raises(errors.InvalidFieldError, match="start_joints"):
        client.request(samples.request(start_joints=np.zeros(8)))
    assert planner.seen == []


def busy_in_python(request, context):
    end = time.monotonic() + 1.5
    while time.monotonic() < end and not context.cancelled:
        sum(i * i for i in range(1000))
    return samples.plan(request.observation_stamp)


@pytest.mark.parametrize("kind", ["python", "sleep"])
def test_heartbeat_and_status_are_answered_while_the_planner_works(server, planner, kind):
    planner.action = busy_in_python if kind == "python" else lambda r, c: time.sleep(1.5) or samples.plan(12.4)
    with PlanClient(server.address, "r", heartbeat=0.05, heartbeat_timeout=0.5) as client:
        client.hello(Hello("panda", "0.1.0"), WAIT)
        number = client.request(samples.request(12.4))
        assert planner.begun.wait(WAIT)
        waits, oldest = [], 0.0
        for _ in range(10):
            begun = time.monotonic()
            assert client.status(WAIT).busy
            waits.append(time.monotonic() - begun)
            oldest = max(oldest, time.monotonic() - client.last_heard)
            time.sleep(0.05)
        assert sorted(waits)[len(waits) // 2] < 0.3
        assert oldest < 1.0
        assert client.connections == 1, "the server was never thought lost"
        assert isinstance(finals(client, 1)[number], Plan)


def test_robots_do_not_disturb_each_other(server, planner):
    planner.hold()
    with PlanClient(server.address, "a") as a, PlanClient(server.address, "b") as b:
        a.hello(Hello("panda", "1"), WAIT)
        b.hello(Hello("fr3", "1"), WAIT)
        first = a.request(samples.request(1.0))
        assert planner.begun.wait(WAIT)
        second, third = a.request(samples.request(2.0)), b.request(samples.request(3.0))
        wait_for(lambda: a.status(WAIT).queued == 2)
        planner.release.set()
        assert {n: r.observation_stamp for n, r in finals(a, 2).items()} == {first: 1.0, second: 2.0}
        assert {n: r.observation_stamp for n, r in finals(b, 1).items()} == {third: 3.0}


def test_many_threads_may_use_one_client(client):
    failed = []

    def ask(k: int) -> None:
        for i in range(20):
            try:
                client.status(WAIT)
                if client.plan(samples.request(100.0 * k + i), WAIT).observation_stamp != 100.0 * k + i:
                    failed.append((k, i))
            except errors.SupersededError:
                pass

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


# ---- a client in another language, and strangers ------------------------------------------------------------------


def exchange(dealer, frames) -> tuple[Header, object]:
    dealer.send_multipart(frames)
    return codec.decode(dealer.recv_multipart())


def test_a_bare_socket_gets_its_request_echoed(dealer):
    header, reply = exchange(dealer, codec.encode(samples.request(4.5), Header("r", "s", 7)))
    assert (header.type, header.robot, header.session, header.request, header.stamp) == ("plan", "r", "s", 7, 4.5)
    assert isinstance(reply, Plan)
    header, reply = exchange(dealer, codec.encode(Reset(), Header("r", "s", 8)))
    assert (header.request, reply) == (8, Done())


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([b"garbage"], "malformed"),
        ([b""], "malformed"),
        ([b"", b"x"], "malformed"),
        ([msgpack.packb({"version": 1})], "unsupported_version"),
        ([b"\x00" * (limits.MAX_HEADER_BYTES + 1)], "limit_exceeded"),
    ],
)
def test_what_is_no_message_is_answered_with_an_error_to_nobody(dealer, frames, expected):
    header, reply = exchange(dealer, frames)
    assert (header.robot, header.session, header.request) == (NOBODY, NOBODY, 0)
    assert code(reply) == expected
    assert isinstance(exchange(dealer, codec.encode(StatusRequest(), Header("r", "s", 1)))[1], Status)


def test_errors_name_the_request_where_the_header_could_be_read(dealer):
    frames = codec.encode(samples.request(), Header("r", "s", 9))
    for broken, expected in (
        (frames[:-1], "malformed"),
        ([*frames, *[b""] * limits.MAX_FRAMES], "limit_exceeded"),
        (codec.encode(Done(), Header("r", "s", 9)), "malformed"),
    ):
        header, reply = exchange(dealer, broken)
        assert (header.session, header.request, code(reply)) == ("s", 9, expected)


def test_a_server_of_another_version_is_named():
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            if router.poll(20):
                peer = router.recv_multipart()[0]
                router.send_multipart([peer, msgpack.packb({"version": 1, "kind": "error"})])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with PlanClient(f"tcp://127.0.0.1:{port}", "r") as client:
            with pytest.raises(errors.UnsupportedVersionError, match=f"version {PROTOCOL_VERSION}"):
                client.hello(Hello("panda", "1"), WAIT)
            assert not client.alive
    finally:
        stop.set()
        thread.join()
        router.close(0)
        context.term()


def test_replies_to_others_are_dropped():
    """A server that answers with a wrong session, a wrong number, and a wrong stamp before the right plan."""
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            if not router.poll(20):
                continue
            peer, *frames = router.recv_multipart()
            header, message = codec.decode(frames)
            if isinstance(message, StatusRequest):
                replies = [(header, Status(False, 0, 0, 0, 1.0))]
            else:
                stamp = message.observation_stamp
                replies = [
                    (dataclasses.replace(header, session="another"), samples.plan(stamp, uncertainty=0.9)),
                    (dataclasses.replace(header, robot="another"), samples.plan(stamp, uncertainty=0.9)),
                    (dataclasses.replace(header, request=header.request + 50), samples.plan(stamp, uncertainty=0.9)),
                    (header, samples.plan(stamp - 1.0, uncertainty=0.9)),
                    (header, samples.plan(stamp, uncertainty=0.1)),
                ]
            for reply_header, reply in replies:
                router.send_multipart([peer, *codec.encode(reply, reply_header)])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with PlanClient(f"tcp://127.0.0.1:{port}", "r") as client:
            assert client.plan(samples.request(5.0), WAIT).uncertainty == 0.1
            assert client.poll(0.05) == []
    finally:
        stop.set()
        thread.join()
        router.close(0)
        context.term()


def test_several_workers_plan_for_several_robots_at_once():
    together = threading.Barrier(2, timeout=WAIT)

    def planner(request: PlanRequest, context: Context) -> Plan:
        together.wait()
        return samples.plan(request.observation_stamp)

    with (
        PlanServer("tcp://127.0.0.1:*", samples.spec(), planner, workers=2) as server,
        PlanClient(server.address, "left", heartbeat_timeout=5.0) as left,
        PlanClient(server.address, "right", heartbeat_timeout=5.0) as right,
    ):
        for client in (left, right):
            client.hello(Hello("panda", "0.1.0"), WAIT)
            client.request(samples.request(1.0))
        for client in (left, right):
            assert all(isinstance(answer, Plan) for answer in finals(client, 1).values())
        assert left.status(WAIT).plans == 2
