"""openpi's protocol, both sides, alone and against openpi's own client."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path

import msgpack
import numpy as np
import pytest
from policy_server import Scripted, openpi_python, served

from planner_server.policy.client import PolicyClient
from planner_server.policy.errors import MessageError, PolicyError, RefusedError, UnreachableError
from planner_server.policy.server import PolicyServer
from planner_server.policy.wire import decode, encode

ROOT = Path(__file__).resolve().parents[2]
OBSERVATION = {
    "observation/exterior_image_1_left": np.arange(224 * 224 * 3, dtype=np.uint8).reshape(224, 224, 3),
    "observation/joint_position": np.linspace(-1, 1, 7),
    "observation/gripper_position": np.array([0.25], np.float32),
    "prompt": "put the carrot in the bowl",
}
OPENPI_CLIENT = """
import sys, numpy as np
from openpi_client.websocket_client_policy import WebsocketClientPolicy
client = WebsocketClientPolicy(sys.argv[1])
assert client.get_server_metadata() == {"model": "scripted", "action_horizon": 15, "action_adapter": "integrate"}
observation = {"observation/joint_position": np.linspace(-1, 1, 7), "prompt": "put the carrot in the bowl",
               "observation/exterior_image_1_left": np.full((224, 224, 3), 7, np.uint8)}
answer = client.infer(observation)
assert np.array_equal(answer["actions"], np.arange(120.0).reshape(15, 8)), answer
assert answer["server_timing"]["infer_ms"] >= 0
assert client.infer(observation)["server_timing"]["prev_total_ms"] > 0
print("understood")
"""


def test_messages_come_back_as_they_were() -> None:
    again = decode(encode({**OBSERVATION, "scalar": np.float32(1.5), "nested": {"a": [1, True, None]}}))
    assert again.keys() == {*OBSERVATION, "scalar", "nested"}
    for name, value in OBSERVATION.items():
        assert np.array_equal(again[name], value)
        assert getattr(again[name], "dtype", None) == getattr(value, "dtype", None)
    assert (again["scalar"], type(again["scalar"])) == (1.5, np.float32)
    assert again["nested"] == {"a": [1, True, None]}


def array(**changes: object) -> bytes:
    fields = {"__ndarray__": True, "data": bytes(16), "dtype": "<f4", "shape": [4]} | changes
    return msgpack.packb({"actions": {key.encode(): value for key, value in fields.items()}})


@pytest.mark.parametrize(
    "message",
    [
        array(shape=[5]),
        array(shape=[-4]),
        array(shape=[2**40, 0]),
        array(shape=[1] * 6 + [4]),
        array(shape=4),
        array(data="text"),
        array(dtype="|O"),
        array(dtype="<c8"),
        array(dtype="<f3"),
        array(dtype=[["a", "<f4"]]),
        b"\xc1",
        b"",
        msgpack.packb([1, 2]),
        msgpack.packb({str(n): n for n in range(1000)}),
        msgpack.packb({"a": msgpack.ExtType(4, b"x")}),
        b"\x81\xa1a" + b"\x91" * 5000 + b"\x00",
        bytes(9 * 2**20),
    ],
)
def test_what_is_not_plain_numbers_of_their_size_is_refused(message: bytes) -> None:
    with pytest.raises(MessageError):
        decode(message)


def test_objects_are_not_sent() -> None:
    for value in (np.array([object()]), object(), np.array(["text"]), 2**70):
        with pytest.raises(MessageError, match="cannot be sent"):
            encode({"value": value})


def test_a_client_hears_metadata_then_answers_with_timing() -> None:
    policy = Scripted(np.arange(120.0).reshape(15, 8))
    with served(policy) as address:
        client = PolicyClient(address)
        assert client.metadata == policy.metadata
        first, second = client.infer(OBSERVATION, 5), client.infer(OBSERVATION, 5)
        client.close()
        with urllib.request.urlopen(address.replace("ws:", "http:") + "/healthz", timeout=5) as health:
            assert health.read() == b"OK\n"
    assert np.array_equal(second["actions"], policy.actions)
    assert first["server_timing"].keys() == {"infer_ms"}
    assert second["server_timing"].keys() == {"infer_ms", "prev_total_ms"}
    assert np.array_equal(policy.seen[0]["observation/joint_position"], OBSERVATION["observation/joint_position"])


def test_errors_come_as_text_and_the_connection_goes_on() -> None:
    policy = Scripted(ValueError("no such camera"))
    with served(policy) as address:
        client = PolicyClient(address)
        with pytest.raises(RefusedError, match="ValueError: no such camera"):
            client.infer(OBSERVATION, 5)
        policy.actions = np.ones((15, 8))
        assert client.infer(OBSERVATION, 5)["actions"].sum() == 120
        client.close()


def test_a_silent_and_an_absent_server_are_named() -> None:
    policy = Scripted()
    with served(policy) as address:
        client = PolicyClient(address)
        policy.gate.clear()
        with pytest.raises(UnreachableError, match=r"did not answer within 0\.05 s"):
            client.infer(OBSERVATION, 0.05)
        policy.gate.set()
        client.close()
    with pytest.raises(UnreachableError, match=f"no policy server at {address}"):
        PolicyClient(address)


def test_a_server_listens_on_this_machine_only_unless_told() -> None:
    with pytest.raises(PolicyError, match="can be reached from other machines"):
        PolicyServer(Scripted(), "ws://0.0.0.0:0")
    for address in ("tcp://127.0.0.1:8000", "ws://127.0.0.1", "127.0.0.1:8000", "ws://127.0.0.1:port"):
        with pytest.raises(PolicyError, match="expected ws://HOST:PORT"):
            PolicyServer(Scripted(), address)


def test_openpis_own_client_understands_our_server() -> None:
    python, policy = openpi_python(), Scripted(np.arange(120.0).reshape(15, 8))
    with served(policy) as address:
        done = subprocess.run(
            [python, "-c", OPENPI_CLIENT, address], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.stdout.strip() == "understood", done.stderr
    assert policy.seen[0]["observation/exterior_image_1_left"].shape == (224, 224, 3)
    assert policy.seen[0]["prompt"] == "put the carrot in the bowl"


def test_our_client_understands_a_server_made_of_openpis_own_encoding() -> None:
    command = [openpi_python(), str(ROOT / "benchmarks" / "openpi_peer.py"), "serve"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        client = PolicyClient(f"ws://127.0.0.1:{int(process.stdout.readline())}")
        assert client.metadata == {"model": "none"}
        answer = client.infer(OBSERVATION, 10)
        client.close()
    finally:
        process.kill()
        process.wait()
    assert np.array_equal(answer["actions"], np.zeros((5, 7)))
    assert answer["server_timing"]["infer_ms"] >= 0


def test_the_wire_needs_no_models() -> None:
    code = "import sys, planner_server.policy.client, planner_server.policy.server; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
