"""`vidplan keys`: make the keys of a planner server and its robots, and find them again in their folders.

One folder per machine, complete in itself, so that a folder is what is copied and what `--curve-keys` names:

    keys/server/   server.key_secret  server.key  clients/*.key    for the planner server
    keys/robot/    robot.key_secret   robot.key   server.key       for that robot's bridge
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

import zmq.auth

from plan_protocol.errors import AddressError
from plan_protocol.security import ClientKeys, ServerKeys

SERVER = "server"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def main(argv: list[str]) -> int:
    """Run `vidplan keys`; 0 when the keys were made."""
    parser = argparse.ArgumentParser(
        prog="vidplan keys",
        description="Make CURVE keys, so that planner server and robots may talk over a network: every byte is "
        "encrypted and both sides prove who they are. DIR/server belongs on the server's machine, DIR/ROBOT on the "
        "robot's; nothing else needs them.",
        epilog="Call it again with another --robot to let one more robot in; the server's key stays. To shut a robot "
        "out, delete its file in DIR/server/clients and start the server again.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="where the folders with keys are put")
    parser.add_argument(
        "--robot", default="robot", metavar="NAME", help="name of the robot's folder (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    try:
        make_keys(arguments.folder, arguments.robot)
    except (AddressError, OSError) as error:
        reason = error if isinstance(error, AddressError) else f"{arguments.folder} cannot be written: {error.strerror}"
        print(f"vidplan keys: {reason}", file=sys.stderr)
        return 1
    print(f"{arguments.folder / SERVER}: for `vidplan serve --curve-keys`")
    print(f"{arguments.folder / arguments.robot}: for `vidplan bridge --curve-keys`, on the robot's machine only")
    return 0


def make_keys(folder: Path, robot: str) -> None:
    """Make a robot's keys, and the server's where there are none.

    Args:
        folder: Gets a folder for the server and one per robot.
        robot: Name of the robot's folder and key.

    Raises:
        AddressError: The robot's name cannot be used, or it has keys already.
        OSError: The folder cannot be written.
    """
    if not NAME.fullmatch(robot) or robot == SERVER:
        raise AddressError(f"'{robot}' cannot name a robot's keys: use letters, digits, - and _, not '{SERVER}'")
    own, server = folder / robot, folder / SERVER
    if own.exists():
        raise AddressError(f"{own} is there already: choose another --robot, or delete it to make new keys")
    if not (server / f"{SERVER}.key_secret").is_file():
        _make(server, SERVER)
        (server / "clients").mkdir(exist_ok=True)
        shutil.copy(server / f"{SERVER}.key", server / "clients")  # it may ask itself how it is
    _make(own, robot)
    shutil.copy(own / f"{robot}.key", server / "clients")
    shutil.copy(server / f"{SERVER}.key", own)


def server_keys(folder: Path) -> ServerKeys:
    """What a planner server takes from its folder.

    Raises:
        AddressError: A file is missing.
    """
    return ServerKeys(secret=_existing(folder / f"{SERVER}.key_secret"), clients=_existing(folder / "clients"))


def client_keys(folder: Path) -> ClientKeys:
    """What a client takes from a folder, a robot's or the server's own.

    Raises:
        AddressError: A file is missing, or it is not clear which secret is meant.
    """
    secrets = sorted(folder.glob("*.key_secret"))
    if len(secrets) != 1:
        raise AddressError(f"{folder} must hold one .key_secret file, not {len(secrets)}: make it with `vidplan keys`")
    return ClientKeys(secret=secrets[0], server=_existing(folder / f"{SERVER}.key"))


def _existing(path: Path) -> Path:
    if not path.exists():
        raise AddressError(f"{path} is not there: make it with `vidplan keys`")
    return path


def _make(folder: Path, name: str) -> None:
    """A pair of keys that only their owner can read."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    _, secret = zmq.auth.create_certificates(folder, name)
    Path(secret).chmod(0o600)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
