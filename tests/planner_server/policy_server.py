"""A policy server in a thread, and the environment with openpi's own client."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from planner_server.policy.server import Policy, PolicyServer

OPENPI_PYTHON = Path(__file__).resolve().parents[2] / "work" / "openpi-client" / "bin" / "python"


class Scripted:
    """Answers with what it is told to, and keeps what it saw; its actions are carried out exactly."""

    def __init__(self, actions: np.ndarray | Exception | None = None) -> None:
        self.metadata: dict[str, Any] = {"model": "scripted", "action_horizon": 15, "action_adapter": "integrate"}
        self.actions = np.zeros((15, 8)) if actions is None else actions
        self.seen: list[Mapping[Any, Any]] = []
        self.gate = threading.Event()
        self.gate.set()

    def infer(self, observation: Mapping[Any, Any]) -> dict[str, Any]:
        self.seen.append(observation)
        assert self.gate.wait(20)
        if isinstance(self.actions, Exception):
            raise self.actions
        return {"actions": self.actions}


@contextmanager
def served(policy: Policy, address: str = "ws://127.0.0.1:0") -> Iterator[str]:
    server = PolicyServer(policy, address)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.address
    finally:
        server.close()
        thread.join()


def openpi_python() -> str:
    if not OPENPI_PYTHON.is_file():
        pytest.skip(f"openpi's own client is not installed in {OPENPI_PYTHON.parents[1]}")
    return str(OPENPI_PYTHON)
