"""A mapping file: what the topics and joints of another laboratory's recordings are called, in YAML.

`vidplan bag inspect BAG --write-mapping FILE` proposes one; docs/replay-and-report.md describes every entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from robot_bridge.bags.recorded import COMMANDED_POSE, ROBOTS
from robot_bridge.errors import ConfigError
from robot_model import gripper, ros_names

STAMPS = ("header", "receipt")
FRAME_RATE = 20.0
"""Frames per second that are played of a faster camera: four times the rate at which the planner looks."""


@dataclass(frozen=True)
class GripperSource:
    """Where a bag says how far the gripper is closed.

    Attributes:
        topic: sensor_msgs/JointState, or a std_msgs number or array of numbers.
        joint: Name of the joint in a JointState; empty for std_msgs.
        index: Which number of an array.
        open: Recorded value of the open gripper.
        closed: Recorded value of the closed gripper; smaller than ``open`` where the recording counts the other way.
    """

    topic: str
    joint: str = ""
    index: int = 0
    open: float = 0.0
    closed: float = gripper.CLOSED_RADIANS

    @property
    def stock(self) -> bool:
        """Whether it is the joint of a stock gripper, which the bridge reads as it is."""
        return (self.joint, self.open, self.closed) == (gripper.KNUCKLE_JOINT, 0.0, gripper.CLOSED_RADIANS)

    def fraction(self, value: float) -> float:
        """0 (open) .. 1 (closed) of a recorded value."""
        return min(max((value - self.open) / (self.closed - self.open), 0.0), 1.0)


@dataclass(frozen=True)
class BagMapping:
    """Names in a bag. The default one is that of a stock cell, whose recordings need no file.

    Attributes:
        robot: ``panda`` or ``fr3``; None: told by the joints' names.
        cameras: Role -> topic (Image or CompressedImage) of the three cameras.
        joints_topic: sensor_msgs/JointState of the arm.
        joints: The seven joints' names in it, from the base; empty: those of ``robot``.
        gripper: Where the gripper's state is; None: nowhere, it counts as open.
        instruction_topic: std_msgs/String.
        commanded_pose_topic: geometry_msgs/PoseStamped in the arm's base frame: what the operator commanded.
        frame_rate: Frames per second that are played of a faster camera.
        hold_frames: Repeat a camera's last frame where it is slower than the planner looks.
        stamps: ``header``, or ``receipt`` where the headers carry no stamps or those of another clock.

    Raises:
        ConfigError: A value cannot be.
    """

    robot: str | None = None
    cameras: Mapping[str, str] = field(
        default_factory=lambda: {name: ros_names.camera_topic(name) for name in ros_names.CAMERAS}
    )
    joints_topic: str = ros_names.JOINT_STATES
    joints: tuple[str, ...] = ()
    gripper: GripperSource | None = field(
        default_factory=lambda: GripperSource(ros_names.JOINT_STATES, gripper.KNUCKLE_JOINT)
    )
    instruction_topic: str = ros_names.INSTRUCTION
    commanded_pose_topic: str = COMMANDED_POSE
    frame_rate: float = FRAME_RATE
    stamps: str = "header"
    hold_frames: bool = False

    def __post_init__(self) -> None:
        if self.robot is not None and self.robot not in ROBOTS:
            raise ConfigError("robot", f"'{self.robot}' is none of {', '.join(ROBOTS)}")
        if sorted(self.cameras) != sorted(ros_names.CAMERAS):
            raise ConfigError("cameras", f"give a topic for each of {', '.join(ros_names.CAMERAS)}")
        if len(set(self.cameras.values())) != len(self.cameras):
            raise ConfigError("cameras", "one topic cannot be two cameras")
        if self.joints and (len(self.joints) != 7 or len(set(self.joints)) != 7):
            raise ConfigError("joints.names", f"give the arm's seven joints, from the base, not {len(self.joints)}")
        if self.joints and self.robot is None:
            raise ConfigError("robot", f"say which arm it is: {' or '.join(ROBOTS)}; the joints' names do not tell")
        if self.gripper is not None and self.gripper.open == self.gripper.closed:
            raise ConfigError("gripper", "open and closed must be two different values")
        if self.stamps not in STAMPS:
            raise ConfigError("stamps", f"'{self.stamps}' is none of {', '.join(STAMPS)}")
        if not 1.0 <= self.frame_rate <= 200.0:
            raise ConfigError("frame_rate", f"{self.frame_rate:g} does not lie in 1 .. 200 frames per second")

    @property
    def recorded_names(self) -> dict[str, str]:
        """Topic as the bridge knows it -> topic in the bag."""
        names = {ros_names.camera_topic(role): topic for role, topic in self.cameras.items()}
        names[ros_names.JOINT_STATES] = self.joints_topic
        names[ros_names.INSTRUCTION] = self.instruction_topic
        names[COMMANDED_POSE] = self.commanded_pose_topic
        return names


def load_mapping(path: Path) -> BagMapping:
    """Read a mapping file.

    Raises:
        ConfigError: It cannot be read, an entry is unknown, or a value cannot be.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _mapping(content)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from error
    except ConfigError as error:
        raise ConfigError(
            str(path), f"{error}. Write one with `vidplan bag inspect BAG --write-mapping FILE`"
        ) from error


def _mapping(content: Any) -> BagMapping:
    entries = dict(_section("the file", content, ("cameras", "joints", "gripper", *_PLAIN)))
    values: dict[str, Any] = {
        name: _typed(name, entries[name], kind) for name, kind in _PLAIN.items() if name in entries
    }
    if "cameras" in entries:
        cameras = _section("cameras", entries["cameras"], ros_names.CAMERAS)
        values["cameras"] = {role: _typed(f"cameras.{role}", topic, str) for role, topic in cameras.items()}
    if "joints" in entries:
        joints = _section("joints", entries["joints"], ("topic", "names"))
        values["joints_topic"] = _typed("joints.topic", joints.get("topic", ros_names.JOINT_STATES), str)
        names = _typed("joints.names", joints.get("names", []), list)
        values["joints"] = tuple(_typed("joints.names", name, str) for name in names)
    joints_topic = values.get("joints_topic", ros_names.JOINT_STATES)
    given = entries.get("gripper", {"joint": gripper.KNUCKLE_JOINT, "open": 0.0, "closed": gripper.CLOSED_RADIANS})
    values["gripper"] = None if given is None else _gripper(given, joints_topic)
    return BagMapping(**values)


_PLAIN: dict[str, type] = {
    "robot": str,
    "instruction_topic": str,
    "commanded_pose_topic": str,
    "frame_rate": float,
    "stamps": str,
    "hold_frames": bool,
}


def _gripper(content: Any, joints_topic: str) -> GripperSource:
    given = _section("gripper", content, tuple(item.name for item in fields(GripperSource)))
    kinds: dict[str, type] = {"topic": str, "joint": str, "index": int, "open": float, "closed": float}
    values = {name: _typed(f"gripper.{name}", value, kinds[name]) for name, value in given.items()}
    for name in ("open", "closed"):
        if name not in values:
            raise ConfigError(f"gripper.{name}", f"is missing: the recorded value of the {name} gripper")
    return GripperSource(**{"topic": joints_topic, **values})


def _section(name: str, content: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise ConfigError(name, f"must hold entries ({', '.join(known)}), not {content!r}")
    for key in content:
        if key not in known:
            raise ConfigError(f"{name}: {key}", f"is not known here; known are {', '.join(known)}")
    return content


def _typed(name: str, value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(name, f"must be {_KINDS[kind]}, not {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(name, f"must be a finite number, not {value!r}")
    return value


_KINDS = {bool: "true or false", str: "text", float: "a number", int: "a whole number", list: "a list"}
