"""Who may reach a planner server: this machine only, unless keys (CURVE) or a person say otherwise.

A planner moves a robot, so an open port is an open hand on the arm. With keys every byte is encrypted and both sides
prove who they are. Make a pair with ``zmq.auth.create_certificates(folder, name)``: ``name.key_secret`` stays on its
machine, ``name.key`` is given to the other side.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from plan_protocol.errors import AddressError


@dataclass(frozen=True)
class ServerKeys:
    """The server's own ``.key_secret`` file and a folder with the ``.key`` files of the clients it lets in."""

    secret: Path
    clients: Path


@dataclass(frozen=True)
class ClientKeys:
    """The client's own ``.key_secret`` file and the server's ``.key`` file."""

    secret: Path
    server: Path


def check_bind_address(address: str, keys: ServerKeys | None, allow_remote: bool) -> None:
    """Refuse an address other machines can reach, unless there are keys or it is explicitly allowed.

    Raises:
        AddressError: If the address is refused or not understood.
    """
    if keys is None and not allow_remote and not is_local(address):
        raise AddressError(
            f"{address} can be reached from other machines, and whoever reaches it can use the planner. Bind to "
            "tcp://127.0.0.1:PORT, give it keys (`vidplan keys`, --curve-keys), or allow that with --allow-remote"
        )


def is_local(address: str) -> bool:
    """True where only this machine can reach the address.

    Raises:
        AddressError: If it is neither ``tcp://HOST:PORT`` nor ``ipc://PATH``.
    """
    scheme, _, rest = address.partition("://")
    host, _, port = rest.rpartition(":")
    if scheme == "ipc" and rest:
        return True
    if scheme != "tcp" or not host or not port:
        raise AddressError(f"'{address}' is no address: expected tcp://HOST:PORT (or ipc://PATH)")
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def secure_server(socket: zmq.Socket, context: zmq.Context, keys: ServerKeys) -> ThreadAuthenticator:
    """Make a socket accept only the clients whose keys are in the folder; stop the result before the context ends.

    Raises:
        AddressError: If a key file cannot be read.
    """
    if not keys.clients.is_dir():
        raise AddressError(f"{keys.clients} is not a folder with the public .key files of the clients")
    socket.curve_publickey, socket.curve_secretkey = _load(keys.secret, secret=True)
    socket.curve_server = True
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    authenticator.configure_curve(domain="*", location=str(keys.clients))
    return authenticator


def secure_client(socket: zmq.Socket, keys: ClientKeys) -> None:
    """Make a socket prove who it is and talk to this server only; raises `AddressError` for a bad key file."""
    socket.curve_publickey, socket.curve_secretkey = _load(keys.secret, secret=True)
    socket.curve_serverkey, _ = _load(keys.server, secret=False)


def _load(path: Path, *, secret: bool) -> tuple[bytes, bytes]:
    try:
        public, private = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise AddressError(f"{path} is not a readable CURVE key file: {error}") from error
    if secret and private is None:
        raise AddressError(f"{path} holds no secret key: give the .key_secret file")
    return public, private or b""
