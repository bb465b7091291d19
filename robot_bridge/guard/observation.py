"""May the robot plan on what it sees? One class per question; the first that objects decides."""

from __future__ import annotations

import math
from dataclasses import dataclass

from robot_bridge.config import BridgeConfig
from robot_bridge.guard.reasons import Finding, Reason

FUTURE = 0.25
"""Seconds a stamp may lie ahead of the robot's clock: clock messages and sensor messages travel separately."""

OTHER_CLOCK = 3600.0
"""Seconds of age that no sensor has: the stamp is of another clock."""

TOPIC_HINT = ": is its driver running, is this its topic? `vidplan doctor` lists what is there"


def clock_hint(age: float) -> str:
    """What to look at where an age cannot be one; empty where it can."""
    return "; its clock is another one: chrony on both machines, use_sim_time in a simulation" * (age > OTHER_CLOCK)


@dataclass(frozen=True)
class Senses:
    """How fresh the sensors are, at one moment.

    Attributes:
        camera_ages: Camera role -> seconds since its newest frame; infinite where none came.
        joint_age: Seconds since the newest joint state; infinite where none came.
        frame_age: Seconds since the newest synchronised frame; infinite where none was complete.
        skew: Spread of that frame's camera stamps, seconds.
    """

    camera_ages: dict[str, float]
    joint_age: float
    frame_age: float
    skew: float


class JointAge:
    """The arm's state must be known and fresh; also checked at every command while the arm moves."""

    def __init__(self, config: BridgeConfig) -> None:
        self.limit = config.max_joint_age
        self.topic = config.joint_topic

    def check(self, senses: Senses) -> Finding | None:
        """Objection, or None."""
        if math.isinf(senses.joint_age):
            return Finding(Reason.JOINTS_MISSING, f"no joint states of this arm on {self.topic} yet{TOPIC_HINT}")
        if senses.joint_age > self.limit:
            return Finding(
                Reason.JOINTS_STALE,
                f"newest joint state is {senses.joint_age:.2f} s old (limit {self.limit:g} s)"
                + clock_hint(senses.joint_age),
            )
        if senses.joint_age < -FUTURE:
            return Finding(Reason.FUTURE_STAMP, f"joint states are stamped {-senses.joint_age:.2f} s in the future")
        return None


class CameraAge:
    """Every camera must have sent a frame lately, and the newest complete set must be as fresh."""

    def __init__(self, config: BridgeConfig) -> None:
        self.limit = config.max_camera_age
        self.topics = config.camera_topics

    def check(self, senses: Senses) -> Finding | None:
        """Objection, or None."""
        for name, age in senses.camera_ages.items():
            if math.isinf(age):
                return Finding(
                    Reason.CAMERA_MISSING, f"no frame of camera '{name}' on {self.topics[name]} yet{TOPIC_HINT}"
                )
            if age > self.limit:
                return Finding(
                    Reason.CAMERA_STALE,
                    f"newest frame of camera '{name}' is {age:.2f} s old (limit {self.limit:g} s)" + clock_hint(age),
                )
            if age < -FUTURE:
                return Finding(Reason.FUTURE_STAMP, f"camera '{name}' stamps its frames {-age:.2f} s in the future")
        if math.isinf(senses.frame_age):
            return Finding(
                Reason.CAMERA_SKEW, "the cameras' and joints' stamps never come together; are their clocks the same?"
            )
        if senses.frame_age > self.limit:
            return Finding(
                Reason.CAMERA_STALE,
                f"newest synchronised set of frames is {senses.frame_age:.2f} s old (limit {self.limit:g} s)",
            )
        return None


class CameraSkew:
    """The frames of one set must show the same moment."""

    def __init__(self, config: BridgeConfig) -> None:
        self.limit = config.max_camera_skew

    def check(self, senses: Senses) -> Finding | None:
        """Objection, or None."""
        if senses.skew > self.limit:
            return Finding(
                Reason.CAMERA_SKEW,
                f"the cameras' stamps are {senses.skew * 1e3:.0f} ms apart (limit {self.limit * 1e3:.0f})",
            )
        return None


class ObservationGuard:
    """All layers on observations, in order."""

    def __init__(self, config: BridgeConfig) -> None:
        self.layers = (JointAge(config), CameraAge(config), CameraSkew(config))

    def check(self, senses: Senses) -> Finding | None:
        """First objection, or None."""
        return next((finding for layer in self.layers if (finding := layer.check(senses))), None)
