"""Recorded bags: open any rosbag2 (MCAP or sqlite3), say what is in it and what is wrong with it.

A damaged recording is still evidence, so nothing here gives up early: a file without its index is read from the front
as far as it goes, a message that cannot be decoded is skipped and counted, and every such thing becomes a `Problem`
with a sentence a person can act on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from robot_bridge.bag_check import Problem, Topic, judge, recorded_robot
from robot_bridge.errors import BridgeError
from robot_bridge.mcap_salvage import CutOffError, salvage
from robot_bridge.recorded import JOINT_STATE, NEEDED, STRING, Recorded, decode
from robot_model import ros_names


class BagError(BridgeError):
    """A bag cannot be read at all, or cannot be written."""


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
        self.problems += judge(self.topics, self.joint_names)

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
        return recorded_robot(self.joint_names)

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
