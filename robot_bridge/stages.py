"""What the lifecycle's transitions do, without ROS: one `Core` per configuration, from `configure` to `cleanup`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from plan_protocol.errors import ProtocolError
from robot_bridge.config import BridgeConfig
from robot_bridge.core import Core
from robot_bridge.errors import BridgeError, ConfigError, MismatchError, PlannerError
from robot_bridge.events import Event, event
from robot_bridge.planner.meeting import meet
from robot_bridge.recording import RunRecorder


class Connection(Protocol):
    """What `robot_bridge.ros.connected.Connected` is to the transitions."""

    @property
    def core(self) -> Core: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class BridgeStages:
    """The transitions. Each raises BridgeError where it is refused; then nothing has changed.

    Attributes:
        core: The newest configuration, whether or not it is still in force; None before the first.
        connected: The configuration in force with its robot and sensors, or None.
        refusal: Why the last refused transition was refused.
        closing: Set when the program ends: nobody waits for a planner any more.
        ended: Set by `shutdown`.
    """

    def __init__(
        self,
        read: Callable[[], BridgeConfig],
        connect: Callable[[Core], Connection],
        clock: Callable[[], float],
        publish: Callable[[Event], None],
        made: Callable[[Core], None] = lambda core: None,
        recorder: RunRecorder | None = None,
    ) -> None:
        """Create it, unconfigured.

        Args:
            read: The settings as they are now; raises ConfigError.
            connect: Connects robot and sensors of a core whose planner has been met.
            clock: Seconds on the robot's clock.
            publish: Takes every event.
            made: Takes every new core.
            recorder: Keeps every run; None makes one per folder that the setting ``record`` names.
        """
        self.core: Core | None = None
        self.connected: Connection | None = None
        self.refusal: BridgeError | None = None
        self.closing, self.ended = threading.Event(), threading.Event()
        self.recorder = recorder
        self._own_recorder = recorder is None
        self._recorded = ""
        self._read, self._connect, self._clock, self._publish, self._made = read, connect, clock, publish, made

    @property
    def configured(self) -> Core | None:
        """The core in force."""
        return self.connected.core if self.connected else None

    def prepare(self) -> Core:
        """Check every setting and begin to greet the planner; `configure` goes on from there.

        Raises:
            BridgeError: A setting cannot be used, or the record's folder cannot be written.
        """
        config = self._read()
        self._record_into(config)
        self.core = core = Core(config, self._clock, self._publish, self.recorder)
        try:
            core.link.start()
        except ProtocolError as error:
            raise ConfigError("server", str(error)) from error
        self._made(core)
        return core

    def configure(self) -> None:
        """Check the settings, greet the planner and compare it with this robot, connect robot and sensors."""
        core = self.core if self.core is not None and self.core.fresh else self.prepare()
        core.fresh = False
        try:
            core.executor.hear(meet(core.link, core.config, self.closing, self._say_waiting))
            self.connected = self._connect(core)
        except BaseException:
            core.close()
            raise

    def activate(self) -> None:
        """Allow motion."""
        if self.configured:
            self.configured.executor.activate()

    def deactivate(self) -> None:
        """Brake and hold."""
        if self.configured:
            self.configured.executor.deactivate()

    def cleanup(self) -> None:
        """Let go of robot, sensors and planner, once the arm stands still."""
        if self.configured:
            self.configured.come_to_rest()
            if not self.configured.executor.at_rest:
                raise BridgeError("the arm still moves; clean up once it stands still")
        self.release()

    def shutdown(self) -> None:
        """Bring the arm to rest, let go of everything, end the program."""
        self.deactivate()
        if self.configured:
            self.configured.come_to_rest()
        self.release()
        self.ended.set()

    def release(self) -> None:
        """Let go of everything, as it is."""
        connected, self.connected = self.connected, None
        if connected:
            connected.close()
        if self.core:
            self.core.close()

    def refused(self, transition: str, error: BridgeError) -> None:
        """Say why a transition was not made, once; with autostart a planner that is not there yet is waited for."""
        told, self.refusal = str(self.refusal), error
        if str(error) == told or self.closing.is_set():
            return
        patient = self.core is not None and self.core.config.autostart
        if patient and isinstance(error, PlannerError) and not isinstance(error, MismatchError):
            self._say_waiting(f"{error}; trying on")
        else:
            self._publish(event("transition_refused", self._clock(), detail=f"{transition}: {error}"))

    def summary(self) -> dict[str, Any]:
        """Figures of the newest configuration."""
        if self.core is None:
            return {"plans": 0, "seconds": 0.0, "median_plan_ms": None, "p95_plan_ms": None, "rejected": {}, "holds": 0}
        return self.core.summary()

    def _record_into(self, config: BridgeConfig) -> None:
        if not self._own_recorder or config.record == self._recorded:
            return
        if self.recorder:
            self.recorder.close(self.summary())
        self.recorder = RunRecorder(Path(config.record), config) if config.record else None
        self._recorded = config.record

    def _say_waiting(self, words: str) -> None:
        self._publish(event("waiting", self._clock(), detail=words))
