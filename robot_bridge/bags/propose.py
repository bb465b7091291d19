"""Proposes a mapping file for a bag of unknown names, by names, types and values; says what is no more than a guess."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robot_bridge.bags.bag import Bag
from robot_bridge.bags.check import SLOW
from robot_bridge.bags.recorded import (
    COMPRESSED,
    IMAGE,
    JOINT_STATE,
    STRING,
    Recorded,
    decode,
    picture_topics,
    recorded_robot,
)
from robot_bridge.errors import BridgeError, ImageError
from robot_bridge.sensing.images import compressed_to_rgb, image_to_rgb
from robot_model import gripper
from robot_model.franka import franka
from robot_model.ros_names import CAMERAS

SIGNS = {
    "wrist": ("wrist", "hand", "gripper", "eef", "_ee", "ee_", "tool", "mini"),
    "left": ("left", "exterior_1", "ext1", "exterior1", "side", "cam_1", "camera_1", "camera1"),
    "right": ("right", "exterior_2", "ext2", "exterior2", "front", "cam_2", "camera_2", "camera2"),
}
NUMBERS = ("std_msgs/msg/Float32", "std_msgs/msg/Float64", "std_msgs/msg/Float64MultiArray")
KNOWN_RANGES = {
    gripper.KNUCKLE_JOINT: (0.0, round(gripper.CLOSED_RADIANS, 4)),
    "finger_joint": (0.0, 0.8),
    "panda_finger_joint1": (0.04, 0.0),
    "fr3_finger_joint1": (0.04, 0.0),
}
"""Grippers that are known by the name of their joint: open, closed."""
GUESS = "# a guess: CHECK"


@dataclass
class _Ranges:
    """Smallest and largest value of every joint of a topic."""

    low: dict[str, float] = field(default_factory=dict)
    high: dict[str, float] = field(default_factory=dict)

    def add(self, names: Iterable[str], values: Iterable[float]) -> None:
        for name, value in zip(names, values, strict=False):
            self.low[name] = min(value, self.low.get(name, value))
            self.high[name] = max(value, self.high.get(name, value))


@dataclass(frozen=True, eq=False)
class Proposal:
    """What was found.

    Attributes:
        text: The mapping file.
        pictures: First picture of every camera, with its role and topic as caption.
    """

    text: str
    pictures: list[tuple[str, np.ndarray | None]]


def propose(bag: Bag) -> Proposal:
    """Look through a bag and propose what is what.

    Raises:
        BridgeError: There are not three camera topics, or no joint states of an arm with seven joints.
    """
    firsts, ranges = _look(bag)
    cameras = _cameras(firsts)
    topic, joints = _arm(ranges)
    robot, sure = _robot(joints, ranges[topic])
    closing = _gripper(ranges, topic, joints, firsts)
    lines = [
        f"# What is what in {bag.path.name}; proposed by `vidplan bag inspect`, please look through it.",
        f"robot: {robot}" + ("" if sure else f"  {GUESS}: panda or fr3"),
        "",
        "cameras:  # look at the picture beside this file; left and right are the two scene cameras",
    ]
    lines += [f"  {role}: {_text(name)}" + ("" if known else f"  {GUESS}") for role, (name, known) in cameras.items()]
    lines += [
        "",
        "joints:",
        f"  topic: {_text(topic)}",
        f"  names: [{', '.join(map(_text, joints))}]  # from the base",
        "",
    ]
    lines += closing
    task = next((name for name, first in firsts.items() if first.type == STRING and _speaks(name)), None)
    if task:
        lines += ["", f"instruction_topic: {_text(task)}"]
    lines += ["", f"stamps: {_stamps(bag, [name for name, _ in cameras.values()] + [topic])}  # header, or receipt"]
    lines += ["frame_rate: 20.0  # frames per second that are played of a faster camera"]
    if min(bag.topics[name].rate for name, _ in cameras.values()) < SLOW:
        lines += ["hold_frames: true  # a camera is slower than the planner looks: its last frame is repeated"]
    shown = [(f"{role}: {name}", _picture(firsts[name])) for role, (name, _) in cameras.items()]
    used = {name for name, _ in cameras.values()}
    shown += [(f"(not used): {n}", _picture(f)) for n, f in sorted(firsts.items()) if _is_camera(f) and n not in used]
    return Proposal("\n".join(lines) + "\n", shown)


def _look(bag: Bag) -> tuple[dict[str, Recorded], dict[str, _Ranges]]:
    """First message of every topic, and the joints' ranges of every topic of joint states."""
    firsts: dict[str, Recorded] = {}
    ranges: dict[str, _Ranges] = {}
    for message in bag.recorded([name for name, topic in bag.topics.items() if topic.type in _LOOKED_AT]):
        firsts.setdefault(message.topic, message)
        if message.type in (JOINT_STATE, *NUMBERS) and (decoded := decode(message)) is not None:
            values = decoded.position if message.type == JOINT_STATE else np.atleast_1d(decoded.data)
            names = decoded.name if message.type == JOINT_STATE else [str(index) for index in range(len(values))]
            ranges.setdefault(message.topic, _Ranges()).add(names, map(float, values))
    return firsts, ranges


_LOOKED_AT = (IMAGE, COMPRESSED, JOINT_STATE, STRING, *NUMBERS)


def _is_camera(first: Recorded) -> bool:
    decoded = decode(first) if picture_topics({first.topic: first.type}) else None
    return decoded is not None and not (first.type == IMAGE and decoded.encoding in ("16UC1", "32FC1", "mono16"))


def _cameras(firsts: dict[str, Recorded]) -> dict[str, tuple[str, bool]]:
    """Role -> topic, and whether its name says so."""
    names = picture_topics({name: first.type for name, first in firsts.items() if _is_camera(first)})
    if len(names) < len(CAMERAS):
        raise BridgeError(
            f"{len(names)} topics with colour pictures ({', '.join(names) or 'none'}); planning takes three cameras: "
            "two of the scene and one at the wrist."
        )
    roles: dict[str, tuple[str, bool]] = {}
    for role, signs in SIGNS.items():
        # The camera's own name comes first; what follows (".../left/color") is the eye of a stereo camera.
        scored = [(name.lower().find(sign), name) for name in names for sign in signs if sign in name.lower()]
        scored = [(at, name) for at, name in scored if name not in [taken for taken, _ in roles.values()]]
        if scored:
            roles[role] = (min(scored)[1], True)
    rest = iter([name for name in names if name not in [taken for taken, _ in roles.values()]])
    return {role: roles[role] if role in roles else (next(rest), False) for role in CAMERAS}


def _arm(ranges: dict[str, _Ranges]) -> tuple[str, list[str]]:
    """Topic and names of seven joints that are counted from 1 (or 0) behind a common prefix."""
    for topic, found in ranges.items():
        groups: dict[tuple[str, str], dict[int, str]] = {}
        for name in found.low:
            if match := re.fullmatch(r"(.*?)(\d)(\D*)", name):
                groups.setdefault((match[1], match[3]), {})[int(match[2])] = name
        for numbered in groups.values():
            if len(numbered) == 7 and sorted(numbered) in ([*range(7)], [*range(1, 8)]):
                return topic, [numbered[index] for index in sorted(numbered)]
        if len(found.low) == 7 and not all(name.isdigit() for name in found.low):
            return topic, list(found.low)
    told = "; ".join(f"{topic}: {', '.join(found.low)}" for topic, found in ranges.items()) or "there are none"
    raise BridgeError(f"no joint states of an arm with seven joints ({told}).")


def _robot(joints: list[str], found: _Ranges) -> tuple[str, bool]:
    """The arm, and whether that is sure: by its names, or by joints where the other one cannot be."""
    if (named := recorded_robot(joints)) is not None:
        return named, True
    for name, other in (("fr3", "panda"), ("panda", "fr3")):
        if name in joints[0].lower():
            return name, True
        arm = franka(other)
        low, high = (np.array([bounds[joint] for joint in joints]) for bounds in (found.low, found.high))
        if (low < arm.lower - 0.01).any() or (high > arm.upper + 0.01).any():
            return name, True
    return "fr3", False


def _gripper(ranges: dict[str, _Ranges], arm_topic: str, joints: list[str], firsts: dict[str, Recorded]) -> list[str]:
    for topic in sorted(ranges, key=lambda name: name != arm_topic):
        found = ranges[topic]
        names = [n for n in found.low if n not in joints and re.search("finger|gripper|knuckle|hand", n.lower())]
        if firsts[topic].type != JOINT_STATE:
            names = ["0"] if re.search("gripper|finger|hand", topic.lower()) else []
        if not names:
            continue
        name = names[0]
        lines = ["gripper:", f"  topic: {_text(topic)}"]
        lines += [f"  joint: {_text(name)}"] if firsts[topic].type == JOINT_STATE else [f"  index: {name}"]
        if name in KNOWN_RANGES:
            opened, closed = KNOWN_RANGES[name]
            return [*lines, f"  open: {opened}", f"  closed: {closed}"]
        low, high = round(found.low[name], 4), round(found.high[name], 4)
        if low == high:
            low, high = 0.0, 1.0
        if re.search("width|opening|aperture", f"{topic} {name}".lower()):
            low, high = high, low
        return [
            *lines,
            f"  open: {low}  {GUESS}: the recorded value of the open gripper; swap the two if it counts the other way",
            f"  closed: {high}  {GUESS}",
        ]
    return ["gripper: null  # none was found: it counts as open"]


def _stamps(bag: Bag, used: list[str]) -> str:
    """``receipt`` where the headers are not of the clock of the receipt."""
    seen: set[str] = set()
    for message in bag.recorded(used):
        stamp = message.stamp
        if message.topic not in seen and stamp is not None:
            seen.add(message.topic)
            if not -0.05 < (message.log_time - stamp) / 1e9 < 1.0:
                return "receipt"
        if len(seen) == len(set(used)):
            break
    return "header"


def _speaks(topic: str) -> bool:
    return bool(re.search("instruction|task|language|prompt|command_text", topic.lower()))


def _picture(first: Recorded) -> np.ndarray | None:
    decoded: Any = decode(first)
    try:
        return compressed_to_rgb(decoded) if first.type == COMPRESSED else image_to_rgb(decoded)
    except ImageError:
        return None


def _text(value: str) -> str:
    """A YAML scalar: quoted where it would not be read as text."""
    return value if re.fullmatch(r"[A-Za-z/_][\w/.-]*", value) and value.lower() not in _WORDS else f'"{value}"'


_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
