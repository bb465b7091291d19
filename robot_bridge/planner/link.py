"""The connection to the planner: greets it, verifies its promises, passes requests on, notices loss and return.

A thread of its own does everything that may wait (connecting, the greeting), so that the control tick never does.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from plan_protocol.client import PlanClient
from plan_protocol.errors import ProtocolError
from plan_protocol.keys_cli import client_keys
from plan_protocol.messages import ErrorReply, Hello, Plan, PlannerSpec, PlanRequest, Progress
from plan_protocol.spec import RobotOffer, spec_differences
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import ConfigError

GREETING_TIMEOUT = 3.0
PAUSE = 0.02
MISMATCH_PAUSE = 2.0
HUNG = 0.5
"""Seconds that the server's Python may leave a heartbeat unanswered; its process answers pings meanwhile."""
DRY_RUN_SILENCE, SIMULATED_SILENCE = 2.0, 0.5
"""Seconds of that silence at least in a dry run and in simulated time: no real arm has to hold, and cell, planner and
bridge often share a busy machine."""


@dataclass(frozen=True, eq=False)
class LinkEvent:
    """Something that happened on the connection.

    Attributes:
        kind: ``connected`` (first greeting), ``waiting``, ``mismatch``, ``lost``, ``back`` or ``reply``.
        detail: In words.
        request_id: Of a reply.
        reply: Of a reply.
    """

    kind: str
    detail: str = ""
    request_id: int = -1
    reply: Plan | ErrorReply | Progress | None = None


def differences(spec: PlannerSpec, config: BridgeConfig) -> list[str]:
    """What the planner promises otherwise than this robot needs, in words; empty where they agree."""
    offer = RobotOffer(robot_model=config.robot, cameras=dict.fromkeys(config.camera_topics))
    found = spec_differences(spec, offer)
    offsets = list(spec.history_offsets)
    if not offsets or offsets[-1] != 0 or offsets != sorted(offsets):
        found.append(f"history offsets: {spec.history_offsets} must rise to 0, the newest frame")
    lower = np.maximum(spec.workspace_lower, config.workspace_lower)
    upper = np.minimum(spec.workspace_upper, config.workspace_upper)
    if (lower >= upper).any():
        found.append(
            f"workspace: the planner's {spec.workspace_lower}..{spec.workspace_upper} and this robot's "
            f"{config.workspace_lower}..{config.workspace_upper} have nothing in common"
        )
    return found


def renewed(old: PlannerSpec, new: PlannerSpec) -> list[str]:
    """What changed between two greetings of a server, in words."""
    before, after = asdict(old), asdict(new)
    return [f"{name} {before[name]} -> {after[name]}" for name in before if before[name] != after[name]]


class PlannerLink:
    """One robot's connection to one planner server."""

    def __init__(self, config: BridgeConfig, client: Callable[..., Any] = PlanClient) -> None:
        """Create it; nothing is opened before `start`.

        Args:
            config: Server address, robot id, what the robot needs.
            client: Makes the client from address, robot id, timeouts and, where there are any, keys.
        """
        self.config = config
        self._make_client = client
        self._client: Any = None
        self._spec: PlannerSpec | None = None
        self._ready = False
        self._greeted = 0
        self._new_task = False
        self._events: deque[LinkEvent] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="planner-link", daemon=True)

    def start(self) -> None:
        """Connect and greet in the background.

        Raises:
            ProtocolError: The address cannot be used.
            ConfigError: The keys cannot.
        """
        try:
            keys = {"keys": client_keys(Path(self.config.curve_keys))} if self.config.curve_keys else {}
        except ProtocolError as error:
            raise ConfigError("curve_keys", str(error)) from error
        silence = self._silence()
        hung = max(silence, HUNG)
        self._client = self._make_client(
            self.config.server, self.config.robot_id, ping_timeout=silence, heartbeat_timeout=hung, **keys
        )
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and close the connection."""
        self._stop.set()
        if self._client is not None:
            self._client.close()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * GREETING_TIMEOUT)

    @property
    def spec(self) -> PlannerSpec | None:
        """What the server promised at the last accepted greeting."""
        return self._spec

    @property
    def ready(self) -> bool:
        """The server is there, its promises fit this robot, and it knows of a new task."""
        return self._ready and self._same_server() and not self._new_task

    @property
    def lost(self) -> bool:
        """The server is gone, and `poll` has not said so yet."""
        return self._ready and not self._same_server()

    def request(self, request: PlanRequest) -> int:
        """Send a request; returns its id at once.

        Raises:
            ProtocolError: It cannot be sent.
        """
        return self._client.request(request)

    def cancel(self, request_id: int) -> None:
        """Tell the server that nobody waits for this plan any more."""
        self._client.cancel(request_id)

    def forget_task(self) -> None:
        """Have the server told, in the background, that a new task begins; not `ready` until then."""
        self._new_task = self._ready

    def poll(self) -> list[LinkEvent]:
        """What happened since the last call; never waits."""
        if self._client is None:
            return []
        news = []
        if self.lost:
            self._ready = self._new_task = False
            news.append(LinkEvent("lost", f"the planner at {self.config.server} is gone"))
        while self._events:
            happened = self._events.popleft()
            if happened.kind in ("connected", "back"):
                self._ready = True
            news.append(happened)
        return news + [LinkEvent("reply", "", number, reply) for number, reply in self._client.poll(0)]

    def _silence(self) -> float:
        if self.config.dry_run:
            return max(self.config.server_silence, DRY_RUN_SILENCE)
        return max(self.config.server_silence, SIMULATED_SILENCE if self.config.use_sim_time else 0.0)

    def _same_server(self) -> bool:
        return self._client.alive and self._client.connections == self._greeted

    def _run(self) -> None:
        told = ""
        while not self._stop.wait(PAUSE):
            try:
                if self._new_task:
                    self._client.reset()
                    self._new_task = False
                elif not (self._ready or self._events):
                    told = self._greet(told)
            except ProtocolError as error:
                told = self._tell(told, "waiting", str(error))

    def _greet(self, told: str) -> str:
        """Say hello and judge the answer."""
        spec = self._client.hello(Hello(self.config.robot, _version()), GREETING_TIMEOUT)
        found = differences(spec, self.config)
        if found:
            told = self._tell(told, "mismatch", "; ".join(found))
            self._stop.wait(MISMATCH_PAUSE)
            return told
        old, self._spec = self._spec, spec
        self._greeted = self._client.connections
        what = f"{spec.model_name} ({spec.model_hash[:12]}) at {self.config.server}"
        if old is None:
            self._events.append(LinkEvent("connected", what))
        else:
            changed = renewed(old, spec)
            self._events.append(
                LinkEvent("back", f"{what}; {'changed: ' + '; '.join(changed) if changed else 'as before'}")
            )
        return ""

    def _tell(self, told: str, kind: str, detail: str) -> str:
        """Say a thing once, not with every attempt."""
        if detail != told and not self._stop.is_set():
            self._events.append(LinkEvent(kind, detail))
        return detail


def _version() -> str:
    try:
        return version("vidplan")
    except PackageNotFoundError:
        return "0"
