"""A cell without ROS: a clock, an arm that follows trajectories as a controller would, and a planner with latency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from plan_protocol.messages import (
    CameraSpec,
    Candidate,
    ErrorReply,
    Observation,
    Plan,
    PlannerSpec,
    PlanRequest,
)
from robot_bridge.config import BridgeConfig
from robot_bridge.execution.commanded import Command
from robot_bridge.execution.executor import Executor
from robot_bridge.execution.smoothing import SentMotion
from robot_bridge.guard.observation import Senses
from robot_bridge.planner.link import LinkEvent
from robot_bridge.sensing.synchroniser import JointSample
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import franka
from robot_model.kinematics import ArmKinematics

SPEC = PlannerSpec(
    model_name="fake",
    model_hash="0" * 64,
    cameras=tuple(CameraSpec(name, 12, 20) for name in ("left", "right", "wrist")),
    history_offsets=(-1, 0),
    frame_period=0.2,
    horizon=5,
    max_committed=6,
    robots=("panda", "fr3"),
    workspace_lower=(0.2, -0.5, 0.05),
    workspace_upper=(0.8, 0.5, 0.8),
    max_linear_speed=0.25,
    max_angular_speed=1.0,
    plan_latency=0.3,
)


def make_plan(request: PlanRequest, poses: np.ndarray, spec: PlannerSpec = SPEC, late: float = 0.0) -> Plan:
    """A plan of these poses that answers a request."""
    steps = len(request.committed) + np.arange(1, len(poses) + 1)
    candidate = Candidate("+x", poses, 0.5, 0.6, 0.1, 0.2, 0.8, 0.4)
    return Plan(
        observation_stamp=request.observation_stamp,
        times=request.observation_stamp + spec.frame_period * steps + late,
        poses=poses,
        candidates=(candidate,),
        chosen=0,
        refined=False,
        objective=(0.1, 0.2),
        uncertainty=0.2,
    )


def straight(request: PlanRequest, step: np.ndarray, horizon: int = 5) -> np.ndarray:
    """Poses ``(H, 7)`` that go on from the request's last committed (or observed) pose by ``step`` ``(7,)`` a frame."""
    last = request.committed[-1] if len(request.committed) else request.observation.poses[-1]
    return last + np.arange(1, horizon + 1)[:, None] * step


FORWARD = np.array([0.015, 0.0, -0.01, 0.0, 0.0, 0.0, 0.0])


def sway(step: np.ndarray = FORWARD, chunks: int = 2) -> Callable[[PlanRequest], Plan]:
    """A planner that goes ``chunks`` forth and as many back."""
    count = [0]

    def plan(request: PlanRequest) -> Plan:
        count[0] += 1
        sign = 1 if (count[0] - 1) // chunks % 2 == 0 else -1
        return make_plan(request, straight(request, sign * step))

    return plan


class EmptySpace:
    """Stands for `robot_bridge.guard.collision.Collision` where nothing is in the way."""

    def objection(self, q: np.ndarray, before: np.ndarray, overshoot: float = 0.0) -> None:
        return None


@dataclass
class FakeArm:
    """Follows the newest trajectory message exactly, as a joint trajectory controller does with ideal motors."""

    joints: np.ndarray
    message: SentMotion | None = None
    held: np.ndarray | None = None
    """Where something holds it, whatever it is told."""

    def receive(self, message: SentMotion) -> None:
        self.message = message

    def state(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        if self.held is not None:
            return self.held, np.zeros(7)
        if self.message is None:
            return self.joints, np.zeros(7)
        return self.message.state(time)


class FakeLink:
    """A planner that answers each request after a latency, in robot time."""

    def __init__(self, plan: Callable[[PlanRequest], Plan | ErrorReply], latency: float, spec: PlannerSpec = SPEC):
        self.plan, self.latency, self._spec = plan, latency, spec
        self.now = 0.0
        self.up = True
        self.told_up = False
        self.greeted_once = False
        self.requests: list[PlanRequest] = []
        self.waiting: dict[int, tuple[float, PlanRequest]] = {}
        self.resets = 0

    @property
    def ready(self) -> bool:
        return self.up and self.told_up

    @property
    def spec(self) -> PlannerSpec | None:
        return self._spec if self.greeted_once else None

    def poll(self) -> list[LinkEvent]:
        if self.up != self.told_up:
            self.told_up = self.up
            if not self.up:
                self.waiting.clear()
                return [LinkEvent("lost", "gone")]
            kind = "back" if self.greeted_once else "connected"
            self.greeted_once = True
            return [LinkEvent(kind, "fake")]
        due = [number for number, (time, _) in self.waiting.items() if time <= self.now]
        return [LinkEvent("reply", "", number, self.plan(self.waiting.pop(number)[1])) for number in due]

    def request(self, request: PlanRequest) -> int:
        self.requests.append(request)
        self.waiting[len(self.requests)] = (self.now + self.latency, request)
        return len(self.requests)

    def cancel(self, request_id: int) -> None:
        self.waiting.pop(request_id, None)

    def forget_task(self) -> None:
        self.resets += 1


@dataclass
class FakeSenser:
    """Perfect cameras at 15 Hz and joint states of the fake arm."""

    arm: FakeArm
    kinematics: ArmKinematics
    now: float = 0.0
    camera_age: float = 0.03
    joint_age: float = 0.005
    skew: float = 0.01
    felt: bool = True
    """Whether joint states come at all."""
    specs: list[PlannerSpec] = field(default_factory=list)

    def follow_spec(self, spec: PlannerSpec) -> None:
        self.specs.append(spec)

    def joints(self) -> JointSample | None:
        if not self.felt:
            return None
        stamp = self.now - self.joint_age
        q, v = self.arm.state(stamp)
        return JointSample(stamp, q, v, 0.0)

    def senses(self, now: float) -> Senses:
        ages = dict.fromkeys(("left", "right", "wrist"), self.camera_age)
        return Senses(ages, self.joint_age if self.felt else np.inf, self.camera_age, self.skew)

    def observation(self) -> Observation:
        stamps = np.array([self.now - self.camera_age - 0.2, self.now - self.camera_age])
        joints = [self.arm.state(stamp)[0] for stamp in stamps]
        return Observation(
            images=np.zeros((2, 3, 12, 20, 3), np.uint8),
            stamps=stamps,
            poses=np.array([np.append(self.kinematics.forward_pose(q), 0.0) for q in joints]),
            joints=joints[-1],
        )


class FakeCell:
    """Everything together under one simulated clock."""

    def __init__(
        self,
        plan: Callable[[PlanRequest], Plan | ErrorReply],
        latency: float = 0.3,
        joints: np.ndarray = DROID_RESET_JOINTS,
        spec: PlannerSpec = SPEC,
        **settings: object,
    ) -> None:
        self.config = BridgeConfig.from_mapping({"instruction": "put the carrot in the bowl", **settings})
        self.time = 100.0
        self.link = FakeLink(plan, latency, spec)
        self.arm = FakeArm(np.array(joints, dtype=float))
        self.kinematics = ArmKinematics(franka(self.config.robot))
        self.senser = FakeSenser(self.arm, self.kinematics)
        self.events: list[dict] = []
        self.commands: list[Command] = []
        self.executor = Executor(self.config, self.link, self.senser, self.events.append)

    def step(self, seconds: float | None = None) -> list[Command]:
        """Advance the clock by a control period (or ``seconds``) and tick."""
        self.time += self.config.control_period if seconds is None else seconds
        self.link.now = self.senser.now = self.time
        commands = self.executor.tick(self.time)
        for command in commands:
            if command.trajectory is not None:
                self.arm.receive(command.trajectory)
        self.commands += commands
        return commands

    def run(self, seconds: float) -> None:
        """Tick for a while."""
        end = self.time + seconds
        while self.time < end - 1e-9:
            self.step()

    def run_until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        """Tick until something holds."""
        end = self.time + seconds
        while not condition():
            assert self.time < end, f"not within {seconds} s; last events {self.events[-3:]}"
            self.step()

    def names(self) -> list[str]:
        return [event["event"] for event in self.events]

    def speed(self) -> float:
        """Largest joint speed of the arm now."""
        return float(np.abs(self.arm.state(self.time)[1]).max())

    def reasons(self, name: str) -> list[str]:
        """Of the events of a name."""
        return [event["reason"] for event in self.events if event["event"] == name]
