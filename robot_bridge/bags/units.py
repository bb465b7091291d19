"""Are recorded numbers in the units they are taken for? Degrees and millimetres are read without a complaint."""

from __future__ import annotations

import math

from robot_bridge.bags.check import Problem
from robot_bridge.bags.mapping import BagMapping
from robot_bridge.bags.recorded import JOINT_STATE, Recorded, decode
from robot_bridge.bags.translate import gripper_value
from robot_model.franka import franka

BEYOND = 0.2
"""rad by which a measured joint may lie outside its limits."""
SLACK = 0.5
"""Share of the gripper's travel by which a recorded value may lie outside open and closed."""


class Units:
    """The smallest and largest numbers of a recording's arm and gripper."""

    def __init__(self, mapping: BagMapping) -> None:
        self._mapping = mapping
        self._joints: dict[str, tuple[float, float]] = {}
        self._gripper = (math.inf, -math.inf)

    def see(self, message: Recorded) -> None:
        """Take a message; only those of the arm and the gripper count."""
        source = self._mapping.gripper
        moves = message.topic == self._mapping.joints_topic and message.type == JOINT_STATE
        feels = source is not None and message.topic == source.topic
        decoded = decode(message) if moves or feels else None
        if decoded is None:
            return
        if moves:
            for name, position in zip(decoded.name, map(float, decoded.position), strict=False):
                self._joints[name] = _wider(self._joints.get(name, (math.inf, -math.inf)), position)
        value = gripper_value(message.type, decoded, source) if feels and source is not None else None
        if value is not None:
            self._gripper = _wider(self._gripper, value)

    def problems(self, robot: str | None) -> list[Problem]:
        """What cannot be in radians, or in the mapping's units of the gripper."""
        texts = [self._wrong_joints(robot), self._wrong_gripper()]
        return [Problem("units", text) for text in texts if text]

    def _wrong_joints(self, robot: str | None) -> str:
        if robot is None:
            return ""
        arm = franka(robot)
        for name, low, high in zip(self._mapping.joints or arm.joint_names, arm.lower, arm.upper, strict=True):
            least, most = self._joints.get(name, (low, high))
            if least < low - BEYOND or most > high + BEYOND:
                return (
                    f"{self._mapping.joints_topic}: {name} goes from {least:.2f} to {most:.2f}, a {robot}'s from "
                    f"{low:.2f} to {high:.2f} rad. Are these degrees, or is it another arm, or another order of joints?"
                )
        return ""

    def _wrong_gripper(self) -> str:
        source, (least, most) = self._mapping.gripper, self._gripper
        if source is None or least > most:
            return ""
        low, high = sorted((source.open, source.closed))
        if least >= low - SLACK * (high - low) and most <= high + SLACK * (high - low):
            return ""
        return (
            f"{source.topic}: the gripper goes from {least:g} to {most:g}, the mapping says open {source.open:g}, "
            f"closed {source.closed:g}. Other units (mm, degrees), another index or joint? Mend the mapping's gripper."
        )


def _wider(known: tuple[float, float], value: float) -> tuple[float, float]:
    return (min(known[0], value), max(known[1], value)) if math.isfinite(value) else known
