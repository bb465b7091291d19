"""Turns the messages of a bag into those that the bridge listens to: names, gripper, stamps, rate. Pixels stay."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import numpy as np

from robot_bridge.bags.mapping import BagMapping, GripperSource
from robot_bridge.bags.recorded import COMPRESSED, IMAGE, JOINT_STATE, Recorded, decode, recorded_robot, typestore
from robot_model import gripper, ros_names
from robot_model.conventions import VIDEO_PERIOD
from robot_model.franka import franka

LOOK = round(0.75 * VIDEO_PERIOD * 1e9)
"""ns after which a frame is repeated: a little less than lies between two looks of the planner."""
HELD_AT_MOST = 1_000_000_000
"""ns for which a frame is repeated; after that a camera has stopped, and the bridge shall notice."""


class Translator:
    """Translates the messages of one pass through a bag, in order; make a new one for every pass."""

    def __init__(self, mapping: BagMapping) -> None:
        self._mapping = mapping
        self._names = {recorded: name for name, recorded in mapping.recorded_names.items()}
        self._closed: float | None = None
        self._slots: dict[str, int] = {}
        self._frames: dict[str, tuple[Recorded, int]] = {}
        self._origin: int | None = None

    def translate(self, message: Recorded) -> list[Recorded]:
        """What becomes of a message: itself as the bridge knows it, nothing, or frames that are held before it."""
        translated = self._translated(message)
        if not self._mapping.hold_frames:
            return [translated] if translated is not None else []
        held = self._held(message.log_time)
        if translated is not None and translated.type in (IMAGE, COMPRESSED):
            self._frames[translated.topic] = translated, message.log_time
        return [*held, *([translated] if translated is not None else [])]

    def _held(self, now: int) -> list[Recorded]:
        """The last frame of every camera that is due for a look and has nothing new, at the time of that look."""
        copies = []
        for name, (frame, real) in self._frames.items():
            if now - frame.log_time >= LOOK and now - real < HELD_AT_MOST and frame.stamp is not None:
                at = frame.log_time + LOOK
                copies.append(replace(_stamped(frame, frame.stamp + LOOK), log_time=at))
                self._frames[name] = copies[-1], real
        return copies

    def _translated(self, message: Recorded) -> Recorded | None:
        mapping = self._mapping
        if mapping.gripper is not None and message.topic == mapping.gripper.topic:
            self._feel(message, mapping.gripper)
        name = self._names.get(message.topic)
        if name is None:
            return message
        if mapping.stamps == "receipt":
            message = _stamped(message, message.log_time)
        if name == ros_names.JOINT_STATES:
            return self._joints(replace(message, topic=name))
        if message.type == COMPRESSED:
            name = compressed(name)
        return replace(message, topic=name) if self._due(name, message) else None

    def _due(self, name: str, message: Recorded) -> bool:
        """Whether a camera's frame is the first of its slot: all cameras share the slots, so their frames match."""
        if message.type not in (IMAGE, COMPRESSED) or message.stamp is None:
            return True
        if self._origin is None:  # a quarter of a slot before the first frame: jitter then crosses no border
            self._origin = message.stamp - round(0.25e9 / self._mapping.frame_rate)
        slot = int((message.stamp - self._origin) * self._mapping.frame_rate // 1_000_000_000)
        due, self._slots[name] = self._slots.get(name) != slot, slot
        return due

    def _feel(self, message: Recorded, source: GripperSource) -> None:
        decoded = decode(message)
        value = None if decoded is None else gripper_value(message.type, decoded, source)
        if value is not None and np.isfinite(value):
            self._closed = source.fraction(value)

    def _joints(self, message: Recorded) -> Recorded | None:
        """The arm's joints under their stock names, with the newest gripper; None where the arm is not in it."""
        mapping, decoded = self._mapping, decode(message) if message.type == JOINT_STATE else None
        robot = mapping.robot or (recorded_robot(decoded.name) if decoded is not None else None)
        if decoded is None:
            return message  # what is wrong with it is for the bag's problems and for the bridge to say
        if robot is None:
            return None
        names = mapping.joints or franka(robot).joint_names
        if not set(names) <= set(decoded.name):
            return None
        stock = [*franka(robot).joint_names, gripper.KNUCKLE_JOINT][: 7 + (self._closed is not None)]
        if set(stock) <= set(decoded.name) and (mapping.gripper is None or mapping.gripper.stock):
            return message
        chosen = [decoded.name.index(name) for name in names]
        moving = len(decoded.velocity) == len(decoded.name)
        positions, velocities = decoded.position[chosen], decoded.velocity[chosen] if moving else np.zeros(0)
        if self._closed is not None:
            positions = np.append(positions, gripper.to_radians(self._closed))
            velocities = np.append(velocities, 0.0) if moving else velocities
        store = typestore()
        made = store.types[JOINT_STATE](decoded.header, stock, positions, velocities, np.zeros(0))
        return replace(message, data=bytes(store.serialize_cdr(made, JOINT_STATE)))


def compressed(topic: str) -> str:
    """Name under which the bridge takes a camera's CompressedImage."""
    return f"{topic}/compressed"


def _stamped(message: Recorded, stamp: int) -> Recorded:
    """The message with another ``header.stamp`` [ns]; unchanged where its type has none."""
    if message.stamp is None:
        return message
    data = bytearray(message.data)
    struct.pack_into("<iI" if data[1] & 1 else ">iI", data, 4, *divmod(stamp, 1_000_000_000))
    return replace(message, data=bytes(data))


def gripper_value(kind: str, decoded: Any, source: GripperSource) -> float | None:
    """The recorded number of the gripper in a decoded message; None where it has none."""
    if kind == JOINT_STATE:
        at = decoded.name.index(source.joint) if source.joint in decoded.name else None
        return None if at is None or at >= len(decoded.position) else float(decoded.position[at])
    values = np.atleast_1d(getattr(decoded, "data", ()))
    numeric = np.issubdtype(values.dtype, np.number) and source.index < values.size
    return float(values[source.index]) if numeric else None
