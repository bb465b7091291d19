"""The configured bridge without ROS: senses go in, guarded commands and events come out."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from plan_protocol.messages import Observation, Plan
from robot_bridge.backends.dry_run import NoArm, NoGripper
from robot_bridge.backends.interfaces import GripperBackend, RobotBackend
from robot_bridge.backends.recovery_desk import RecoveryDesk
from robot_bridge.config import BridgeConfig
from robot_bridge.events import Event, event
from robot_bridge.execution.commanded import Command
from robot_bridge.execution.executor import Executor
from robot_bridge.guard.reasons import Finding, Reason
from robot_bridge.planner.link import PlannerLink
from robot_bridge.recording import RunRecorder
from robot_bridge.sensing.intake import Intake
from robot_bridge.sensing.perception import Perception

BRAKING_PATIENCE = 2.0
"""Seconds of wall clock that `come_to_rest` waits for the arm (a paused simulation never gets there)."""

logger = logging.getLogger(__name__)


class Core:
    """One configuration of the bridge, from `configure` to `cleanup`.

    Attributes:
        config: Settings.
        link: Connection to the planner.
        perception: What is seen and felt.
        executor: The state machine; motion is not allowed before its `activate`.
        intake: Where the sensors' messages go.
        arm: Way to the arm; nothing is sent before another one than `NoArm` is put here.
        gripper: Way to the gripper, the same.
        recovery: The arm's recovery, or None where the bridge takes no part in it.
        clock: Seconds on the robot's clock.
        now: Robot time of the last tick.
        over: The configured duration has gone by.
        fresh: Nobody has configured with it yet.
        plan: The newest plan as it came, or None.
    """

    def __init__(
        self,
        config: BridgeConfig,
        clock: Callable[[], float],
        publish: Callable[[Event], None],
        recorder: RunRecorder | None = None,
    ) -> None:
        """Create it; nothing is connected yet.

        Args:
            config: Settings.
            clock: Seconds on the robot's clock; 0 before simulated time has begun.
            publish: Takes every event, in the thread that ticks.
            recorder: Keeps the run.
        """
        self.config = config
        self.recorder = recorder
        self.link = PlannerLink(config)
        self.perception = Perception(config, recorder.frame if recorder else None)
        self.executor = Executor(config, self.link, self.perception, self._tell, self._keep_plan, active=False)
        self.intake = Intake(config, self.perception, self.executor.rejected, self._complain)
        self.arm: RobotBackend = NoArm()
        self.gripper: GripperBackend = NoGripper()
        self.recovery: RecoveryDesk | None = None
        self.now = 0.0
        self.over = False
        self.fresh = True
        self.plan: Plan | None = None
        self.clock, self._publish = clock, publish
        self._began: float | None = None
        self._waiting: deque[Event] = deque()
        self._closed = False
        self._lock = threading.RLock()

    def tick(self) -> None:
        """One control period: whatever goes wrong, the arm stops by itself at the end of what it was sent last."""
        with self._lock:
            now = self.clock()
            if now <= 0.0 or self._closed:  # simulated time has not begun
                return
            self.now = now
            self._notice_begin(now)
            while self._waiting:
                self._publish(self._waiting.popleft())
            try:
                self._look_at_robot()
                for command in self.executor.act(now):
                    self._send(command)
                self.executor.think(now)
            except Exception as error:
                logger.exception("the control tick failed")
                self.executor.stop(Finding(Reason.STOPPED, f"internal error: {error!r}"))
            if self.config.duration and self._began is not None and now - self._began >= self.config.duration:
                self.over = True

    def watch_planner(self) -> None:
        """The loss of the planner does not wait for the next tick."""
        if self.link.lost:
            self.tick()

    def instruct(self, instruction: str) -> None:
        """Give a (new) task in words; an empty one means: stand still."""
        self.executor.instruct(instruction)
        if self.recorder:
            self.recorder.instruction(instruction)

    def begin_task(self, instruction: str, seed: int) -> None:
        """Give a task with a seed of its own."""
        with self._lock:
            self.executor.begin_task(instruction, seed)
        if self.recorder:
            self.recorder.instruction(instruction)

    def rearm(self) -> Finding | None:
        """Allow motion again after a stop, or say why not."""
        with self._lock:
            objection = self.recovery.objection() if self.recovery else None
            return objection or self.executor.rearm()

    def recover(self) -> tuple[bool, str]:
        """Bring the arm's driver in order after a reflex or a user stop; moves nothing."""
        if self.recovery is None:
            return False, "this bridge takes no part in recovery: see the setting recovery, and the driver's own means"
        with self._lock:
            return self.recovery.begin()

    def come_to_rest(self) -> None:
        """Wait until the arm stands still after a stop or a deactivation; ticks meanwhile."""
        patience = time.monotonic() + BRAKING_PATIENCE
        while time.monotonic() < patience:
            self.tick()
            if self.executor.resting and self.executor.at_rest:
                return
            time.sleep(0.02)

    def close(self) -> None:
        """Let go of robot and planner; no tick follows."""
        with self._lock:
            closed, self._closed = self._closed, True
        if closed:
            return
        self.arm.close()
        self.gripper.close()
        self.link.close()

    def summary(self) -> dict[str, Any]:
        """Figures so far."""
        latencies = self.executor.latencies_ms
        return {
            "plans": self.executor.plans,
            "seconds": round(self.now - self._began, 3) if self._began is not None else 0.0,
            "median_plan_ms": round(float(np.median(latencies)), 1) if latencies else None,
            "p95_plan_ms": round(float(np.percentile(latencies, 95)), 1) if latencies else None,
            "rejected": dict(self.executor.rejected),
            "holds": self.executor.holds,
        }

    def _notice_begin(self, now: float) -> None:
        if self._began is None:
            self._began = now
            mode = "dry run" if self.config.dry_run else "live"
            self._tell(event("started", now, detail=f"{self.config.robot}, {mode}"))
        elif now < self._began:  # simulated time was set back
            self._began = now

    def _look_at_robot(self) -> None:
        fallen = self.recovery.step(time.monotonic()) if self.recovery else None
        trouble = self.arm.trouble() or self.gripper.trouble() or fallen
        if trouble and self.executor.stop_latch.finding is None:
            self.executor.rejected[trouble.reason.value] += 1
            self.executor.stop(trouble)

    def _send(self, command: Command) -> None:
        sent = command.trajectory is not None and not self.config.dry_run
        if command.trajectory is not None:
            self.arm.send(command.trajectory)
        if command.gripper is not None:
            self.gripper.send(command.gripper)
        if self.recorder:
            self.recorder.command(command, sent)

    def _keep_plan(self, number: int, observation: Observation, plan: Plan) -> None:
        self.plan = plan
        if self.recorder:
            self.recorder.plan(number, observation, plan)

    def _complain(self, reason: str, detail: str) -> None:
        self._waiting.append(event("reject", self.now, reason=reason, detail=detail))

    def _tell(self, happened: Event) -> None:
        self._publish(happened)
        if self.recorder and happened["event"] in ("connected", "server_back") and self.link.spec is not None:
            self.recorder.spec(self.link.spec)
