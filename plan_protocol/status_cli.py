"""`vidplan status`: ask a planner server how it is; what a container's health check runs."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from plan_protocol.client import PlanClient
from plan_protocol.errors import ProtocolError
from plan_protocol.keys_cli import client_keys


def main(argv: list[str]) -> int:
    """Run `vidplan status`; 0 when the server answers."""
    parser = argparse.ArgumentParser(
        prog="vidplan status",
        description="Ask a planner server how it is: plans so far, plans dropped, whether it is busy. It answers while "
        "it plans. Exit code 0 when it does, 1 when it does not.",
    )
    parser.add_argument(
        "address", nargs="?", default="tcp://127.0.0.1:5555", help="of the server (default: %(default)s)"
    )
    parser.add_argument("--curve-keys", type=Path, metavar="DIR", help="folder with keys, see `vidplan keys`")
    parser.add_argument(
        "--timeout", type=float, default=3.0, metavar="S", help="seconds to wait (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    try:
        keys = client_keys(arguments.curve_keys) if arguments.curve_keys else None
        with PlanClient(arguments.address, f"status-{os.getpid()}", keys=keys) as client:
            status = client.status(arguments.timeout)
    except ProtocolError as error:
        print(f"vidplan status: {error}", file=sys.stderr)
        return 1
    doing = "planning" if status.busy else "idle"
    print(f"{doing}, {status.plans} plans, {status.dropped} dropped, up for {status.uptime:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
