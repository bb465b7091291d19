"""Recorded bags: open any rosbag2 (MCAP or sqlite3), say what is in it and what is wrong with it.

A damaged recording is still evidence, so nothing here gives up early: a file without its index is read from the front
as far as it goes, a message that cannot be decoded is skipped and counted, and every such thing becomes a `Problem`
with a sentence a person can act on.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from robot_bridge.errors import BridgeError
from robot_bridge.mcap_salvage import CutOffError, salvage
from robot_model import ros_names

IMAGE, JOINT_STATE, STRING = "sensor_msgs/msg/Image", "sensor_msgs/msg/JointState", "std_msgs/msg/String"
NEEDED = {**{ros_names.camera_topic(name): IMAGE for name in ros_names.CAMERAS}, ros_names.JOINT_STATES: JOINT_STATE}
"""Topics without which nothing can be planned, and their types."""
OPTIONAL = {
    ros_names.INSTRUCTION: STRING,
    **{ros_names.camera_info_topic(name): "sensor_msgs/msg/CameraInfo" for name in ros_names.CAMERAS},
}
COMMANDED_POSE = "/recorded/commanded_pose"
"""geometry_msgs/PoseStamped: what the operator commanded when the episode was recorded."""
ROBOTS = ("panda", "fr3")
_STAMPED = ("sensor_msgs/", "geometry_msgs/msg/PoseStamped", "trajectory_msgs/msg/JointTrajectory")


class BagError(BridgeError):
    """A bag cannot be read at all, or cannot be written."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with a bag.

    Attributes:
        kind: ``truncated``, ``missing_topic``, ``wrong_type``, ``wrong_joints``, ``out_of_order``, ``undecodable``,
            ``clock`` or ``no_instruction``.
        text: What was found, where, and what to do.
        damage: The recording itself is faulty (as opposed to: something optional is not in it).
    """

    kind: str
    text: str
    damage: bool = True


@dataclass(frozen=True)
class Recorded:
    """One recorded message: topic, type, time of receipt [ns], and the serialized (CDR) bytes as they were sent."""

    topic: str
    type: str
    log_time: int
    data: bytes

    @property
    def stamp(self) -> int | None:
        """``header.stamp`` in ns, or None for a type without header."""
        if not self.type.startswith(_STAMPED) or len(self.data) < 12:
            return None
        # CDR: four bytes that say the byte order, then the header's seconds and nanoseconds.
        seconds, nanoseconds = struct.unpack_from("<iI" if self.data[1] & 1 else ">iI", self.data, 4)
        return int(seconds) * 1_000_000_000 + int(nanoseconds)


@dataclass
class Topic:
    """What a bag holds of one topic; times in ns of receipt, ``backwards`` counts stamps earlier than one before."""

    name: str
    type: str
    count: int = 0
    first: int = 0
    last: int = 0
    backwards: int = 0
    undecodable: int = 0
    lags: list[float] = field(default_factory=list, repr=False)
    newest_stamp: int = -(2**62)

    @property
    def seconds(self) -> float:
        """Time between the first and the last message."""
        return (self.last - self.first) / 1e9

    @property
    def rate(self) -> float:
        """Messages per second, 0 where there are fewer than two."""
        return (self.count - 1) / self.seconds if self.count > 1 and self.seconds > 0 else 0.0


class Bag:
    """A bag, scanned once from start to end.

    Attributes:
        path: As given.
        topics: `Topic` by name.
        problems: What is wrong.
        joint_names: Every name in the recorded joint states.

    Raises:
        BagError: There is nothing readable at the path.
    """

    def __init__(self, path: Path):
        self.path = path
        self.topics: dict[str, Topic] = {}
        self.problems: list[Problem] = []
        self.joint_names: set[str] = set()
        self._salvaged: list[Path] | None = None
        self._opened = _target(path, self.problems)
        try:
            self._scan()
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # rosbags, apsw and the codecs each have their own errors for a damaged file
            self._fall_back(error)
        self._judge()

    @property
    def seconds(self) -> float:
        """Length of the recording: from the first message of any needed topic to the last."""
        used = [topic for name, topic in self.topics.items() if name in NEEDED and topic.count]
        return (max(t.last for t in used) - min(t.first for t in used)) / 1e9 if used else 0.0

    @property
    def damaged(self) -> bool:
        """Whether any problem is a fault of the recording itself."""
        return any(problem.damage for problem in self.problems)

    @property
    def robot(self) -> str | None:
        """``panda`` or ``fr3`` by the names of the recorded joints, None where they are neither."""
        return next((robot for robot in ROBOTS if {f"{robot}_joint{i}" for i in range(1, 8)} <= self.joint_names), None)

    @property
    def plannable(self) -> bool:
        """Whether every topic needed for planning is there with the right type and the arm is known."""
        return self.robot is not None and all(
            name in self.topics and self.topics[name].count and self.topics[name].type == kind
            for name, kind in NEEDED.items()
        )

    def instructions(self) -> list[str]:
        """The recorded tasks, in order, without empty ones."""
        if self.topics.get(ros_names.INSTRUCTION, Topic("", "")).type != STRING:
            return []
        said = [decode(message) for message in self.messages([ros_names.INSTRUCTION])]
        return [text.data.strip() for text in said if text is not None and text.data.strip()]

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Recorded]:
        """Messages in order of receipt (file order where the index is lost), stopping where the file is damaged."""
        if self._salvaged is None:
            yield from self._indexed(topics)
            return
        for file in self._salvaged:
            try:
                for name, kind, log_time, data in _front_to_back(file):
                    if topics is None or name in topics:
                        yield Recorded(name, kind, log_time, data)
            except CutOffError:
                continue

    def _indexed(self, topics: Collection[str] | None) -> Iterator[Recorded]:
        from rosbags.rosbag2 import Reader

        with Reader(self._opened) as reader:
            chosen = [c for c in reader.connections if topics is None or c.topic in topics]
            if not chosen:
                return
            for connection, log_time, data in reader.messages(connections=chosen):
                yield Recorded(connection.topic, connection.msgtype, log_time, bytes(data))

    def _scan(self) -> None:
        self.topics = {}
        if self._salvaged is None:
            from rosbags.rosbag2 import Reader

            with Reader(self._opened) as reader:
                self.topics = {c.topic: Topic(c.topic, c.msgtype) for c in reader.connections}
        for message in self.messages():
            topic = self.topics.setdefault(message.topic, Topic(message.topic, message.type))
            topic.count += 1
            topic.first = message.log_time if topic.count == 1 else min(topic.first, message.log_time)
            topic.last = max(topic.last, message.log_time)
            stamp = message.stamp
            if stamp is not None:
                topic.backwards += stamp < topic.newest_stamp
                topic.newest_stamp = max(topic.newest_stamp, stamp)
                topic.lags.append((message.log_time - stamp) / 1e9)
            if NEEDED.get(message.topic) == message.type:
                decoded = decode(message)
                topic.undecodable += decoded is None
                if decoded is not None and message.type == JOINT_STATE:
                    self.joint_names.update(decoded.name)

    def _fall_back(self, error: Exception) -> None:
        """Read the storage files from the front after the normal reader has given up."""
        path = self.path
        files = [path] if path.is_file() else sorted([*path.glob("*.mcap"), *path.glob("*.db3")])
        self._salvaged = files
        self._scan()
        total = sum(topic.count for topic in self.topics.values())
        if not total:
            raise BagError(f"{path}: nothing readable ({error}). Is this a rosbag2? Try `ros2 bag info {path}`.")
        cut = ", ".join(sorted({name for file in files if (name := _cut(file))})) or str(error)
        self.problems.append(
            Problem(
                "truncated",
                f"{path}: the recording is damaged ({cut}); {total} messages before that are used. "
                "`mcap recover` (or `ros2 bag reindex` of a folder) may bring back more.",
            )
        )

    def _judge(self) -> None:
        for name, kind in NEEDED.items():
            topic = self.topics.get(name)
            if topic is None or not topic.count:
                self.problems.append(Problem("missing_topic", _missing(name, kind, self.topics)))
            elif topic.type != kind:
                text = f"{name} is recorded as {topic.type}, the bridge reads {kind}. Record it with that type."
                self.problems.append(Problem("wrong_type", text))
        for name, kind in OPTIONAL.items():
            if name in self.topics and self.topics[name].type != kind:
                text = f"{name} is recorded as {self.topics[name].type}, expected {kind}; it is not used."
                self.problems.append(Problem("wrong_type", text))
        if not (self.topics.get(ros_names.INSTRUCTION) or Topic("", "")).count:
            text = f"no {ros_names.INSTRUCTION} in the bag: give the task with --instruction."
            self.problems.append(Problem("no_instruction", text, damage=False))
        for topic in self.topics.values():
            if topic.name in NEEDED:
                self._judge_stamps(topic)
        states = self.topics.get(ros_names.JOINT_STATES)
        if self.robot is None and states is not None and states.count and states.type == JOINT_STATE:
            text = (
                f"{states.name} names the joints {', '.join(sorted(self.joint_names)[:8]) or '(none)'}; the bridge "
                f"knows {' and '.join(f'{robot}_joint1..7' for robot in ROBOTS)}."
            )
            self.problems.append(Problem("wrong_joints", text))

    def _judge_stamps(self, topic: Topic) -> None:
        if topic.undecodable:
            text = f"{topic.name}: {topic.undecodable} of {topic.count} messages cannot be decoded and are skipped."
            self.problems.append(Problem("undecodable", text))
        if topic.backwards:
            text = (
                f"{topic.name}: {topic.backwards} of {topic.count} header stamps run backwards; the bridge refuses "
                "them. Was the recording's clock set back, or were two publishers on this topic?"
            )
            self.problems.append(Problem("out_of_order", text))
        lag = sorted(topic.lags)[len(topic.lags) // 2] if topic.lags else 0.0
        if not -0.05 < lag < 1.0:
            text = (
                f"{topic.name}: header stamps are {lag:.3f} s before the time of receipt (median), so the bridge will "
                "call every message stale. Were the machines' clocks synchronised (chrony, PTP)?"
            )
            self.problems.append(Problem("clock", text))


def decode(message: Recorded) -> Any | None:
    """The decoded message, or None when its bytes are not a sound message of its type."""
    try:
        decoded = _typestore().deserialize_cdr(message.data, message.type)
    except Exception:  # rosbags raises several kinds for malformed bytes; all mean the same here
        return None
    if message.type == IMAGE and len(decoded.data) < decoded.step * decoded.height:
        return None
    if message.type == JOINT_STATE and len(decoded.name) > len(decoded.position):
        return None
    return decoded


@lru_cache(maxsize=1)
def _typestore() -> Any:
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)


def _target(path: Path, problems: list[Problem]) -> Path:
    """The folder of a bag, or its one storage file where ``metadata.yaml`` is missing."""
    if not path.exists():
        raise BagError(f"{path}: no such bag.")
    if path.is_file():
        if path.suffix not in (".mcap", ".db3"):
            hint = " A ROS 1 bag is converted with `rosbags-convert`." if path.suffix == ".bag" else ""
            raise BagError(f"{path}: not a rosbag2 (a folder with metadata.yaml, or an .mcap or .db3 file).{hint}")
        return path
    files = sorted([*path.glob("*.mcap"), *path.glob("*.db3")])
    if not files:
        raise BagError(f"{path}: the folder holds no .mcap or .db3 file.")
    if (path / "metadata.yaml").exists():
        return path
    text = f"{path}: metadata.yaml is missing (recording not closed?); `ros2 bag reindex {path}` writes it again."
    problems.append(Problem("truncated", text))
    return files[0] if len(files) == 1 else path


def _front_to_back(file: Path) -> Iterator[tuple[str, str, int, bytes]]:
    """Messages of one storage file as far as they can be read; raises `CutOffError` where that ends early."""
    if file.suffix == ".mcap":
        yield from salvage(file)
        return
    from rosbags.rosbag2 import Reader

    try:
        with Reader(file) as reader:
            for connection, log_time, data in reader.messages():
                yield connection.topic, connection.msgtype, log_time, bytes(data)
    except Exception as error:  # sqlite's own errors
        raise CutOffError(str(error)) from error


def _cut(file: Path) -> str | None:
    """Why reading a file from the front ends early, or None."""
    try:
        for _ in _front_to_back(file):
            pass
    except CutOffError as error:
        return f"{file.name}: {error}"
    return None


def _missing(name: str, kind: str, topics: dict[str, Topic]) -> str:
    others = sorted(other for other, topic in topics.items() if topic.type == kind and other not in NEEDED)
    hint = f" The bag has these {kind} topics: {', '.join(others)}." if others else ""
    return (
        f"{name} ({kind}) is missing, so nothing can be planned.{hint} "
        f"Record it under that name, e.g. `ros2 bag record -s mcap {name} ...` with the driver remapped to it."
    )
