"""A server that dies, hangs or restarts; clients and servers that end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import protocol_samples as samples
import pytest

from plan_protocol import errors
from plan_protocol.client import PlanClient
from plan_protocol.messages import ErrorReply, Hello
from plan_protocol.server import PlanServer

WAIT = 10.0
SERVER = """
import sys, time
sys.path.insert(0, {folder!r})
import protocol_samples as samples
from plan_protocol.server import PlanServer
def planner(request, context):
    time.sleep(request.seed)
    return samples.plan(request.observation_stamp)
server = PlanServer({address!r}, samples.spec(), planner)
print(server.address, flush=True)
server.serve_forever()
"""


class Process:
    """A server in a process of its own."""

    def __init__(self, address: str = "tcp://127.0.0.1:*") -> None:
        code = SERVER.format(folder=str(Path(__file__).parent), address=address)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a script's background jobs ignore it
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def seconds_until(condition) -> float:
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < WAIT
        time.sleep(0.001)
    return time.monotonic() - begun


def test_a_killed_server_is_noticed_at_once_and_a_new_one_found():
    with Process() as first, PlanClient(first.address, "r") as client:
        client.hello(Hello("panda", "1"), WAIT)
        number = client.request(samples.request(seed=5))
        time.sleep(0.1)
        first.signal(signal.SIGKILL)
        assert seconds_until(lambda: not client.alive) < 0.6
        [(failed, reply)] = client.poll(WAIT)
        assert (failed, reply.code, reply.retryable) == (number, "server_lost", True)
        # While there is no server, requests fail at once and nothing is kept for later.
        stale = client.request(samples.request(2.0))
        [(failed, reply)] = client.poll(0)
        assert (failed, reply.code) == (stale, "server_lost")
        with pytest.raises(errors.ServerLostError, match="connection broke"):
            client.plan(samples.request(), 0.05)
        with Process(first.address) as second:
            assert seconds_until(lambda: client.alive) < 5
            assert client.connections == 2
            assert client.hello(Hello("panda", "1"), WAIT).model_name == "tabletop"
            assert client.plan(samples.request(3.0), WAIT).observation_stamp == 3.0
            assert client.status(WAIT).plans == 1, "the new server never saw the stale requests"
            assert second.process.poll() is None


def test_a_blocking_call_ends_when_the_server_dies():
    with Process() as server, PlanClient(server.address, "r") as client:
        client.hello(Hello("panda", "1"), WAIT)
        threading.Timer(0.2, server.signal, [signal.SIGKILL]).start()
        begun = time.monotonic()
        with pytest.raises(errors.ServerLostError):
            client.plan(samples.request(seed=9), WAIT)
        assert time.monotonic() - begun < 2


def test_a_hanging_server_is_noticed_and_its_return_too():
    with Process() as server, PlanClient(server.address, "r", heartbeat=0.05, heartbeat_timeout=0.3) as client:
        client.hello(Hello("panda", "1"), WAIT)
        number = client.request(samples.request(seed=1))
        time.sleep(0.05)
        server.signal(signal.SIGSTOP)
        assert 0.2 < seconds_until(lambda: not client.alive) < 2
        [(failed, reply)] = client.poll(WAIT)
        assert (failed, reply.code) == (number, "server_lost")
        assert "heartbeat" in reply.message
        server.signal(signal.SIGCONT)
        assert seconds_until(lambda: client.alive) < 2
        assert client.plan(samples.request(7.0), WAIT).observation_stamp == 7.0
        assert client.poll(0.05) == [], "the plan given up is not delivered after all"


def test_a_stopped_server_is_noticed_by_its_pings_long_before_its_heartbeats():
    with Process() as server, PlanClient(server.address, "r", heartbeat_timeout=60.0, ping_timeout=0.2) as client:
        client.hello(Hello("panda", "1"), WAIT)
        number = client.request(samples.request(seed=1))
        time.sleep(0.05)
        server.signal(signal.SIGSTOP)
        seconds_until(lambda: not client.alive)
        [(failed, reply)] = client.poll(WAIT)
        assert (failed, reply.code) == (number, "server_lost")
        assert "connection broke" in reply.message
        server.signal(signal.SIGCONT)
        seconds_until(lambda: client.alive)
        assert client.plan(samples.request(7.0), WAIT).observation_stamp == 7.0


def test_hello_waits_for_a_server_that_is_still_starting():
    with PlanServer("tcp://127.0.0.1:*", samples.spec(), samples.plan) as first:
        address = first.address
    with PlanClient(address, "r") as client:
        with pytest.raises(errors.ServerLostError, match="is it running"):
            client.hello(Hello("panda", "1"), 0.1)
        server = PlanServer(address, samples.spec(), lambda r, c: samples.plan(r.observation_stamp))
        threading.Timer(0.2, server.start).start()
        assert client.hello(Hello("panda", "1"), WAIT) == samples.spec()
        server.close()
        assert seconds_until(lambda: not client.alive) < 0.8


def test_closing_is_quick_and_final():
    release = threading.Event()
    server = PlanServer("tcp://127.0.0.1:*", samples.spec(), lambda r, c: release.wait(WAIT)).start()
    client = PlanClient(server.address, "r")
    client.hello(Hello("panda", "1"), WAIT)
    client.request(samples.request())
    begun = time.monotonic()
    client.close()
    client.close()
    [(_, reply)] = client.poll(WAIT)
    assert isinstance(reply, ErrorReply)
    with pytest.raises(errors.ServerLostError, match="closed"):
        client.hello(Hello("panda", "1"), WAIT)
    server.close(timeout=0.1)
    server.close()
    assert time.monotonic() - begun < 1
    release.set()
    PlanServer(server.address, samples.spec(), samples.plan).close()  # the port is free again


def test_a_program_ends_without_closing_anything():
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import protocol_samples as samples
from plan_protocol.client import PlanClient
from plan_protocol.server import PlanServer
from plan_protocol.messages import Hello
server = PlanServer("tcp://127.0.0.1:*", samples.spec(), lambda r, c: samples.plan(r.observation_stamp)).start()
client = PlanClient(server.address, "r")
client.hello(Hello("panda", "1"), 10)
client.plan(samples.request(), 10)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_serve_forever_ends_with_ctrl_c_and_close():
    with Process() as process:
        process.signal(signal.SIGINT)
        assert process.process.wait(WAIT) != 0
    server = PlanServer("tcp://127.0.0.1:*", samples.spec(), samples.plan)
    threading.Timer(0.1, server.close).start()
    server.serve_forever()
