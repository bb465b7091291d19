"""Who may connect: addresses and keys."""

from __future__ import annotations

import threading

import protocol_samples as samples
import pytest
import zmq.auth

from plan_protocol import errors
from plan_protocol.client import PlanClient
from plan_protocol.messages import Hello
from plan_protocol.security import ClientKeys, ServerKeys, is_local
from plan_protocol.server import PlanServer


def serve(address: str, **options) -> PlanServer:
    return PlanServer(address, samples.spec(), lambda r, c: samples.plan(r.observation_stamp), **options)


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("tcp://127.0.0.1:5555", True),
        ("tcp://127.8.0.1:*", True),
        ("tcp://localhost:5555", True),
        ("tcp://[::1]:5555", True),
        ("ipc:///tmp/planner", True),
        ("tcp://0.0.0.0:5555", False),
        ("tcp://*:5555", False),
        ("tcp://[::]:5555", False),
        ("tcp://192.168.1.7:5555", False),
        ("tcp://eth0:5555", False),
        ("tcp://127.0.0.1.example.org:5555", False),
    ],
)
def test_which_addresses_are_local(address, local):
    assert is_local(address) is local


@pytest.mark.parametrize(
    "address", ["5555", "127.0.0.1:5555", "http://localhost:5555", "tcp://localhost", "", "ipc://"]
)
def test_what_is_no_address_is_said(address):
    with pytest.raises(errors.AddressError, match="expected tcp"):
        serve(address)
    with pytest.raises(errors.AddressError, match="expected tcp"):
        PlanClient(address, "r")


def test_other_machines_are_refused_unless_allowed():
    with pytest.raises(errors.AddressError, match="--allow-remote"):
        serve("tcp://0.0.0.0:*")
    serve("tcp://0.0.0.0:*", allow_remote=True).close()


def test_a_taken_port_is_said():
    with serve("tcp://127.0.0.1:*") as server, pytest.raises(errors.AddressError, match="Is another server running"):
        serve(server.address)


def test_mistakes_of_the_caller_show_at_once():
    with pytest.raises(errors.InvalidFieldError, match="frame_period"):
        PlanServer("tcp://127.0.0.1:*", samples.spec(frame_period=0.0), samples.plan)
    with pytest.raises(errors.LimitExceededError, match=r"header\.robot"):
        PlanClient("tcp://127.0.0.1:5555", "")
    with pytest.raises(errors.InvalidFieldError, match="compress"):
        PlanClient("tcp://127.0.0.1:5555", "r", compress="png")


@pytest.fixture
def keys(tmp_path):
    """A server, a client it knows, and a stranger."""
    (tmp_path / "clients").mkdir()
    for name in ("server", "robot", "stranger"):
        zmq.auth.create_certificates(tmp_path, name)
    (tmp_path / "robot.key").rename(tmp_path / "clients" / "robot.key")
    return tmp_path


def test_keys_let_in_who_is_known_and_nobody_else(keys):
    with serve("tcp://127.0.0.1:*", keys=ServerKeys(keys / "server.key_secret", keys / "clients")) as server:
        known = ClientKeys(keys / "robot.key_secret", keys / "server.key")
        with PlanClient(server.address, "r", keys=known) as client:
            assert client.hello(Hello("panda", "1"), 10) == samples.spec()
            assert client.plan(samples.request(), 10).observation_stamp == 12.4
        for wrong in (ClientKeys(keys / "stranger.key_secret", keys / "server.key"), None):
            lost = pytest.raises(errors.ServerLostError, match="refused the connection: do both sides use CURVE keys")
            with PlanClient(server.address, "r", keys=wrong) as client, lost:
                client.hello(Hello("panda", "1"), 0.4)


def test_keys_allow_other_machines(keys):
    serve("tcp://0.0.0.0:*", keys=ServerKeys(keys / "server.key_secret", keys / "clients")).close()


def test_bad_key_files_are_said_and_leave_nothing_running(keys):
    before = threading.active_count()
    for secret, clients, words in (
        (keys / "none", keys / "clients", "not a readable"),
        (keys / "server.key", keys / "clients", "holds no secret"),
        (keys / "server.key_secret", keys / "none", "not a folder"),
    ):
        with pytest.raises(errors.AddressError, match=words):
            serve("tcp://127.0.0.1:*", keys=ServerKeys(secret, clients))
    with pytest.raises(errors.AddressError, match="not a readable"):
        PlanClient("tcp://127.0.0.1:5555", "r", keys=ClientKeys(keys / "none", keys / "server.key"))
    assert threading.active_count() == before
