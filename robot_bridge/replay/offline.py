"""Plays a bag to the bridge's own perception, state machine and guard, without ROS and without its pace.

The clock is the bag's and goes from tick to tick; while the planner thinks it stands still. So a replay takes as long
as its plans, every frame arrives whatever its size, and the same bag asks the same questions each time: two replays
differ only where the planners do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from robot_bridge.bags.bag import Bag
from robot_bridge.bags.recorded import COMPRESSED, STRING, Recorded, decode
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import BridgeError, ImageError
from robot_bridge.events import Event, event
from robot_bridge.execution.executor import Executor
from robot_bridge.guard.reasons import Reason
from robot_bridge.planner.link import PlannerLink
from robot_bridge.recording import RunRecorder
from robot_bridge.sensing.images import compressed_to_rgb, image_to_rgb
from robot_bridge.sensing.joint_states import JointReader
from robot_bridge.sensing.perception import Perception
from robot_model import ros_names

GIVE_UP = 180.0
"""Seconds of wall clock after which a single plan is no longer waited for."""
LEAD, TAIL = 0.1, 0.15
"""Seconds by which the clock starts before the first message, and runs on after the last."""
PAUSE = 0.002


class OfflineReplay:
    """One pass through a bag.

    Attributes:
        executor: The bridge's state machine.
    """

    def __init__(
        self,
        bag: Bag,
        config: BridgeConfig,
        recorder: RunRecorder,
        instruct: bool = True,
        make_link: Callable[[BridgeConfig], Any] = PlannerLink,
    ) -> None:
        """Create it.

        Args:
            bag: A sound enough bag (`Bag.plannable`).
            config: A dry run.
            recorder: Keeps the run; closed by `play`.
            instruct: Also play the recorded instructions.
            make_link: Makes the connection to the planner; tests pass another one.
        """
        self._bag, self._config, self._recorder, self._instruct = bag, config, recorder, instruct
        self._link = make_link(config)
        self._perception = Perception(config, recorder.frame)
        self.executor = Executor(config, self._link, self._perception, self._tell, recorder.plan)
        self._reader = JointReader(config.robot)
        self._roles = {ros_names.camera_topic(role): role for role in config.camera_topics}
        self._told: set[tuple[str, str]] = set()
        self._trouble = ""
        self._now = min(bag.source(name).first for name in bag.needed) / 1e9 - LEAD
        self._began = self._now

    def play(self, meeting: float, progress: Callable[[float], object] = lambda seconds: None) -> None:
        """Play the bag to its end; ``progress`` gets the seconds of footage gone by.

        Args:
            meeting: Seconds of wall clock that the planner gets to answer at first.
            progress: Called with every message.

        Raises:
            BridgeError: No planner answers, or it is gone before the end.
        """
        try:
            self._link.start()
            self._tell(event("started", self._now, detail=f"{self._config.robot}, dry run, as fast as the planner"))
            self._tick_until_ready(meeting)
            for message in self._bag.messages([*self._bag.needed, ros_names.INSTRUCTION]):
                before = self._now
                self._run_clock(message.log_time / 1e9)
                progress(self._now - before)
                self._take(message)
            self._run_clock(self._now + TAIL)
        finally:
            self._link.close()
            self._recorder.close(self._summary())

    def _run_clock(self, until: float) -> None:
        """Tick at the control rate up to ``until``, never backwards."""
        period, ticks = self._config.control_period, round((self._now - self._began) / self._config.control_period)
        while self._began + (ticks + 1) * period <= until:
            ticks += 1
            self._now = self._began + ticks * period
            self._tick()
            if self.executor.planning or not self._link.ready:
                self._tick_until_ready(GIVE_UP)
            self._recorder.catch_up()

    def _tick(self) -> None:
        for command in self.executor.tick(self._now):
            self._recorder.command(command, sent=False)

    def _tick_until_ready(self, patience: float) -> None:
        """Let the clock stand still until the planner has answered."""
        deadline = time.monotonic() + patience
        while True:
            self._tick()
            if self._link.ready and not self.executor.planning:
                return
            if self._trouble == "server_lost":
                raise BridgeError("the planner is gone in the middle of the replay; see its log.")
            if time.monotonic() > deadline:
                raise BridgeError(f"no planner answers after {patience:.0f} s. {self._trouble}".rstrip())
            time.sleep(PAUSE)

    def _take(self, message: Recorded) -> None:
        decoded = decode(message)
        if decoded is None:
            return  # the bag's problems name them
        if message.type == STRING:
            if self._instruct:
                self.executor.instruct(decoded.data.strip())
                self._recorder.instruction(decoded.data.strip())
            return
        stamp = (message.stamp or 0) / 1e9
        if message.topic == ros_names.JOINT_STATES:
            sample = self._reader.read(stamp, decoded.name, decoded.position, decoded.velocity)
            if sample is not None:
                self._complain("joint states", self._perception.add_joints(sample))
            return
        role = self._roles[message.topic.removesuffix("/compressed")]
        try:
            image = compressed_to_rgb(decoded) if message.type == COMPRESSED else image_to_rgb(decoded)
        except ImageError as error:
            self._complain(f"camera '{role}'", "image", str(error))
            return
        self._complain(f"camera '{role}'", self._perception.add_image(role, stamp, image))

    def _complain(self, where: str, reason: Reason | str | None, detail: str = "a message was refused") -> None:
        """Count every refused message; say each kind of trouble once."""
        if reason is None:
            return
        name = reason.value if isinstance(reason, Reason) else reason
        self.executor.rejected[name] += 1
        if (where, name) not in self._told:
            self._told.add((where, name))
            self._tell(event("reject", self._now, reason=name, detail=f"{where}: {detail}"))

    def _tell(self, happened: Event) -> None:
        self._recorder.event(happened)
        if happened["event"] in ("connected", "server_back") and self._link.spec is not None:
            self._recorder.spec(self._link.spec)
        if happened["event"] == "server_lost":
            self._trouble = "server_lost"
        elif happened["event"] in ("waiting", "reject"):
            self._trouble = str(happened.get("detail", ""))

    def _summary(self) -> dict[str, Any]:
        latencies = self.executor.latencies_ms
        return {
            "plans": self.executor.plans,
            "seconds": round(self._now - self._began, 3),
            "median_plan_ms": round(float(np.median(latencies)), 1) if latencies else None,
            "rejected": dict(self.executor.rejected),
        }
