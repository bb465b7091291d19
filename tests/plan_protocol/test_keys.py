"""`vidplan keys` and `vidplan status`: keys for every machine, and a server that is asked how it is."""

from __future__ import annotations

import stat
from pathlib import Path

import protocol_samples as samples
import pytest

from plan_protocol import errors, keys_cli, status_cli
from plan_protocol.client import PlanClient
from plan_protocol.keys_cli import client_keys, server_keys
from plan_protocol.messages import Hello
from plan_protocol.server import PlanServer


def serve(**options) -> PlanServer:
    return PlanServer("tcp://127.0.0.1:*", samples.spec(), lambda r, c: samples.plan(r.observation_stamp), **options)


def test_every_machine_gets_a_folder_that_is_enough(tmp_path: Path) -> None:
    assert keys_cli.main([str(tmp_path)]) == 0
    assert keys_cli.main([str(tmp_path), "--robot", "lab-2"]) == 0
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        *("server/server.key_secret", "server/server.key"),
        *("server/clients/server.key", "server/clients/robot.key", "server/clients/lab-2.key"),
        *("robot/robot.key_secret", "robot/robot.key", "robot/server.key"),
        *("lab-2/lab-2.key_secret", "lab-2/lab-2.key", "lab-2/server.key"),
    }
    with serve(keys=server_keys(tmp_path / "server")) as server:
        for robot in ("robot", "lab-2", "server"):
            with PlanClient(server.address, robot, keys=client_keys(tmp_path / robot)) as client:
                assert client.hello(Hello("panda", "1"), 10) == samples.spec()


def test_another_set_of_keys_is_not_let_in(tmp_path: Path) -> None:
    for name in ("ours", "theirs"):
        keys_cli.make_keys(tmp_path / name, "robot")
    with serve(keys=server_keys(tmp_path / "ours" / "server")) as server:
        stranger = client_keys(tmp_path / "theirs" / "robot")
        with PlanClient(server.address, "r", keys=stranger) as client, pytest.raises(errors.ServerLostError):
            client.hello(Hello("panda", "1"), 0.4)


def test_secrets_are_their_owners_alone(tmp_path: Path) -> None:
    keys_cli.make_keys(tmp_path, "robot")
    for secret in tmp_path.rglob("*.key_secret"):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700


def test_keys_are_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys_cli.make_keys(tmp_path, "robot")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert keys_cli.main([str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["server", "", "../x", "a b", "x" * 33])
def test_names_that_cannot_be_folders_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(errors.AddressError, match="cannot name"):
        keys_cli.make_keys(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(errors.AddressError, match="vidplan keys"):
        server_keys(tmp_path)
    with pytest.raises(errors.AddressError, match="not 0"):
        client_keys(tmp_path)
    keys_cli.make_keys(tmp_path, "robot")
    (tmp_path / "robot" / "server.key").unlink()
    with pytest.raises(errors.AddressError, match=r"server\.key is not there"):
        client_keys(tmp_path / "robot")


def test_status_of_a_server_with_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keys_cli.make_keys(tmp_path, "robot")
    with serve(keys=server_keys(tmp_path / "server")) as server:
        for machine in ("robot", "server"):
            assert status_cli.main([server.address, "--curve-keys", str(tmp_path / machine)]) == 0
        assert "idle, 0 plans" in capsys.readouterr().out
        assert status_cli.main([server.address, "--timeout", "0.3"]) == 1


def test_status_of_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_cli.main(["tcp://127.0.0.1:9", "--timeout", "0.3"]) == 1
    assert "vidplan status:" in capsys.readouterr().err
    assert status_cli.main(["--curve-keys", str(tmp_path)]) == 1
    assert "vidplan keys" in capsys.readouterr().err
