"""The commanded motion: where the arm was told to be, is told to be, and will be told to be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_bridge.execution.chunk import PoseCurve
from robot_bridge.execution.limits import JointLimits
from robot_bridge.execution.smoothing import SentMotion, smooth
from robot_bridge.execution.steps import Steps
from robot_bridge.execution.trajectory import AT_REST, Schedule, brake, follow
from robot_bridge.guard.command import CommandGate
from robot_bridge.guard.path import JointPath, PathGuard
from robot_bridge.guard.plan import Proposal
from robot_bridge.guard.reasons import Finding, Reason
from robot_model.franka import franka
from robot_model.ik import InverseKinematics
from robot_model.kinematics import ArmKinematics


@dataclass(frozen=True, eq=False)
class Command:
    """What is due at one control tick.

    Attributes:
        time: Seconds on the robot's clock.
        joints: ``(7,)`` commanded joints at that time, rad.
        pose: ``(7,)`` commanded flange pose and gripper at that time.
        trajectory: To send to the arm, or None where it rests and was told so.
        gripper: Gripper goal (0 open, 1 closed) to send, or None.
    """

    time: float
    joints: np.ndarray
    pose: np.ndarray
    trajectory: SentMotion | None
    gripper: float | None


@dataclass(frozen=True, eq=False)
class Course:
    """A proposal as joints' motion, judged, and not yet commanded.

    Attributes:
        path: How the path can be followed.
        begin: From when on it differs from ``since``.
        since: The commanded motion that it continues.
        then: That motion until ``begin``, the new one from there on.
        curve: The path of the flange.
    """

    path: JointPath
    begin: float
    since: Schedule
    then: Schedule
    curve: PoseCurve


class CommandedMotion:
    """Joint schedule and pose path of the active chunk. The schedule is what is sent; it always ends at rest."""

    def __init__(self, config: BridgeConfig) -> None:
        arm = franka(config.robot)
        self.window = config.window
        self.limits = JointLimits.of(arm, config)
        self.kinematics = ArmKinematics(arm)
        self.path_guard = PathGuard(config, InverseKinematics(self.kinematics), self.limits)
        self.gate = CommandGate(arm, self.limits, self.path_guard.collision)
        self.gripper = 0.0
        self._schedule: Schedule | None = None
        self._curve: PoseCurve | None = None
        self._sent: Schedule | None = None

    @property
    def known(self) -> bool:
        """There is a commanded state."""
        return self._schedule is not None

    @property
    def curve(self) -> PoseCurve | None:
        """The path of the active chunk, or None after a hold."""
        return self._curve

    @property
    def schedule(self) -> Schedule:
        """The joints' motion.

        Raises:
            RuntimeError: Nothing is commanded yet (`anchor` first).
        """
        if self._schedule is None:
            raise RuntimeError("no commanded state yet: anchor it to the measured joints first")
        return self._schedule

    def anchor(self, time: float, joints: np.ndarray) -> None:
        """Take measured joints ``(7,)`` as the commanded state, at rest."""
        self._schedule = Schedule.resting(time, joints)
        self._curve = None
        self._sent = None
        self.gate.forget()

    def forget(self) -> None:
        """Nothing is commanded any more."""
        self._schedule = self._curve = self._sent = None
        self.gate.forget()

    def moving(self, time: float) -> bool:
        """The arm is commanded to move at ``time`` or later."""
        if self._schedule is None or len(self._schedule.times) == 1:
            return False
        return time < self._schedule.end + self.limits.smoothing / 2

    def path_end(self, time: float) -> float:
        """When the active chunk's path ends; ``time`` where none is active."""
        return max(self._curve.end, time) if self._curve is not None else time

    def pose(self, time: float) -> np.ndarray:
        """Commanded flange pose and gripper ``(7,)`` at a time."""
        gripper = self._curve.pose(time)[6] if self._curve is not None else self.gripper
        return np.append(self.kinematics.forward_pose(self.schedule.joints(time)), gripper)

    def course(self, proposal: Proposal) -> Steps[Course | Finding]:
        """How to follow a guarded proposal from its start on, what was planned before until then; nothing changes yet.

        Returns:
            What `take` follows, or why not even its first frame can be.
        """
        now, start, since = proposal.now, proposal.start, self.schedule
        start_pose = self.pose(start)
        if self._curve is not None and now < self._curve.end:
            curve = self._curve.continued(start, start_pose, proposal.times, proposal.poses).since(now)
        else:
            times, poses = np.append(start, proposal.times), np.concatenate([[start_pose], proposal.poses])
            curve = PoseCurve(times, poses)
        begin = since.change_from(now, self.limits)
        path = yield from self.path_guard.walk(curve, begin, since.joints(begin))
        path, motion = yield from self._clear_of_obstacles(since, begin, path)
        followed = begin + len(path.targets) * self.limits.period
        if path.cut and followed < start + proposal.expected.spec.frame_period / 2:
            return path.cut
        then = since.then(motion)
        return Course(path, begin, since, then, curve if path.as_planned else self._as_followed(curve, begin, then))

    def take(self, time: float, course: Course) -> bool:
        """Follow a course; False where it is too late, or what it continues is no longer commanded."""
        if course.since is not self._schedule or self.schedule.change_from(time, self.limits) > course.begin + AT_REST:
            return False
        self._schedule, self._curve = course.then, course.curve
        return True

    def _clear_of_obstacles(self, since: Schedule, begin: float, path: JointPath) -> Steps[tuple[JointPath, Schedule]]:
        """The path cut until the joints' motion along it, its braking included, touches nothing; and that motion."""
        q, v = since.state(begin)
        while True:
            yield
            motion = follow(begin, q, v, path.targets, self.limits)
            bad = (yield from self.path_guard.first_objection(motion)) if len(path.targets) else None
            if bad is None:
                return path, motion
            node, finding = bad
            path = replace(path, targets=path.targets[: min(node, len(path.targets)) - 1], cut=finding)

    def brake(self, time: float) -> None:
        """Come to rest as fast as is smooth; the chunk is given up."""
        self.gripper = self._curve.pose(time)[6] if self._curve is not None else self.gripper
        self._curve = None
        if self._schedule is None:
            return
        begin = self._schedule.change_from(time, self.limits)
        if begin < self._schedule.end:
            self._schedule = self._schedule.then(brake(begin, *self._schedule.state(begin), self.limits))

    def catch_up(self, time: float) -> Finding | None:
        """Notice a tick so late that the arm has begun its own braking tail: that is what is commanded now."""
        if self._sent is None or not self._strayed(self._sent, time):
            return None
        self._schedule, self._curve = self._sent, None
        return Finding(Reason.CONTROL_LATE, "the control tick came so late that the arm has begun to stop by itself")

    def message(self, time: float) -> SentMotion | Finding | None:
        """What to send at ``time``: a window of the motion, None at rest when the arm was told so, or an objection."""
        if not self.moving(time) and (self._sent is None or self._sent.end + self.limits.period < time):
            return None
        window = self.schedule.window(time, self.window, self.limits)
        message = smooth(window, time, self.limits)
        finding = self.gate.check(message)
        if finding is None:
            self._sent = window
        return finding or message

    def _strayed(self, sent: Schedule, time: float) -> bool:
        """Where the last message takes the arm is not where the schedule wants it."""
        soon = time + self.limits.smoothing / 2
        (told, speed), (wanted, wanted_speed) = sent.state(soon), self.schedule.state(soon)
        return bool(np.abs(told - wanted).max() > 1e-4 or np.abs(speed - wanted_speed).max() > 1e-2)

    def _as_followed(self, curve: PoseCurve, begin: float, schedule: Schedule) -> PoseCurve:
        """The path as the arm will really go, where it was cut or slowed: later chunks begin from there."""
        end = schedule.end
        inner = curve.times[(curve.times > begin + AT_REST) & (curve.times < end - AT_REST)]
        times = np.concatenate([[begin], inner, [end]] if end > begin else [[begin]])
        joints = [schedule.joints(time) for time in times]
        poses = [
            np.append(self.kinematics.forward_pose(q), curve.pose(t)[6]) for q, t in zip(joints, times, strict=True)
        ]
        return PoseCurve(times, np.array(poses))
