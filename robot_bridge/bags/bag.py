"""Recorded bags: open any rosbag2 (MCAP or sqlite3), say what is in it and what is wrong with it.

A damaged recording is still evidence, so nothing here gives up early: a file without its index is read from the front
as far as it goes, a message that cannot be decoded is skipped and counted, and every such thing becomes a `Problem`
with a sentence a person can act on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import numpy as np

from robot_bridge.bags.check import Problem, Topic, judge, kinds_of
from robot_bridge.bags.files import BagError, cut, front_to_back, target
from robot_bridge.bags.mapping import BagMapping
from robot_bridge.bags.mcap_salvage import CutOffError
from robot_bridge.bags.recorded import COMPRESSED, IMAGE, JOINT_STATE, NEEDED, STRING, Recorded, decode, recorded_robot
from robot_bridge.bags.translate import Translator, compressed
from robot_bridge.bags.units import Units
from robot_model import ros_names


class Bag:
    """A bag, scanned once from start to end.

    Attributes:
        path: As given.
        mapping: What its topics and joints are called.
        topics: `Topic` by its name in the bag.
        problems: What is wrong.
        joint_names: Every name in the recorded joint states.
        fingerprint: Hash of every message that is planned on, hexadecimal.

    Raises:
        BagError: There is nothing readable at the path.
    """

    def __init__(self, path: Path, mapping: BagMapping | None = None):
        """Scan it.

        Args:
            path: Folder with metadata.yaml, or an .mcap or .db3 file.
            mapping: None: it was recorded with the names of a stock cell.
        """
        self.path, self.mapping = path, mapping or BagMapping()
        self.topics: dict[str, Topic] = {}
        self.problems: list[Problem] = []
        self.joint_names: set[str] = set()
        self.fingerprint = ""
        self._salvaged: list[Path] | None = None
        self._opened = target(path, self.problems)
        try:
            self._scan()
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # rosbags, apsw and the codecs each have their own errors for a damaged file
            self._fall_back(error)
        if mapping is None:
            self._take_compressed()
        self.problems += judge(self.topics, self.mapping, self.joint_names) + self._units.problems(self.robot)

    @property
    def needed(self) -> dict[str, str]:
        """Topics without which nothing can be planned, as the bridge knows them, and the types they come in."""
        kinds = {}
        for name, kind in NEEDED.items():
            found = self.source(name).type
            kinds.update({compressed(name): found} if found == COMPRESSED and kind == IMAGE else {name: kind})
        return kinds

    def source(self, name: str) -> Topic:
        """What was recorded of a topic that the bridge knows as ``name``; an empty topic where nothing was."""
        recorded = self.mapping.recorded_names[name.removesuffix("/compressed")]
        return self.topics.get(recorded) or Topic(recorded, "")

    @property
    def seconds(self) -> float:
        """Length of the recording: from the first message of any needed topic to the last."""
        used = [topic for name in NEEDED if (topic := self.source(name)).count]
        return (max(t.last for t in used) - min(t.first for t in used)) / 1e9 if used else 0.0

    @property
    def damaged(self) -> bool:
        """Whether any problem is a fault of the recording itself."""
        return any(problem.damage for problem in self.problems)

    @property
    def robot(self) -> str | None:
        """``panda`` or ``fr3`` by the mapping or the names of the recorded joints, None where neither tells."""
        if self.mapping.joints:
            return self.mapping.robot if set(self.mapping.joints) <= self.joint_names else None
        return recorded_robot(self.joint_names)

    @property
    def plannable(self) -> bool:
        """Whether every topic needed for planning is there with a right type and the arm is known."""
        sources = {name: self.source(name) for name in NEEDED}
        return self.robot is not None and all(t.count and t.type in kinds_of(name) for name, t in sources.items())

    @property
    def spread(self) -> float:
        """Seconds by which the stamps of a set of frames and joints differ: 95th percentile, 0 where nothing is there.

        Frames of cameras that are not synchronised lie up to half a frame apart.
        """
        if self.mapping.stamps == "receipt":
            return 0.5 / min((t.rate for name in NEEDED if (t := self.source(name)).rate), default=1.0)
        leader, *others = (np.sort(np.array(self.source(name).stamps)) / 1e9 for name in NEEDED)
        if not leader.size or any(not other.size for other in others):
            return 0.0
        apart = [np.abs(other[nearest(other, leader)] - leader) for other in others]
        return float(np.percentile(np.max(apart, axis=0), 95))

    def instructions(self) -> list[str]:
        """The recorded tasks, in order, without empty ones."""
        if self.source(ros_names.INSTRUCTION).type != STRING:
            return []
        said = [decode(message) for message in self.messages([ros_names.INSTRUCTION])]
        return [text.data.strip() for text in said if text is not None and text.data.strip()]

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Recorded]:
        """Messages as the bridge knows them, in order of receipt, stopping where the file is damaged.

        Args:
            topics: Names as the bridge knows them; None: everything. Where the index is lost the order is the file's.
        """
        translator, names = Translator(self.mapping), self.mapping.recorded_names
        wanted = None if topics is None else {names.get(t.removesuffix("/compressed"), t) for t in topics}
        if wanted and self.mapping.gripper is not None and ros_names.JOINT_STATES in (topics or ()):
            wanted.add(self.mapping.gripper.topic)
        for message in self.recorded(wanted):
            for translated in translator.translate(message):
                if topics is None or translated.topic in topics:
                    yield translated

    def recorded(self, topics: Collection[str] | None = None) -> Iterator[Recorded]:
        """Messages as they were recorded, by their names in the bag; the order is that of `messages`."""
        if self._salvaged is None:
            yield from self._indexed(topics)
            return
        for file in self._salvaged:
            try:
                for name, kind, log_time, data in front_to_back(file):
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
        watched = {self.mapping.recorded_names[name] for name in NEEDED}
        watched |= {compressed(name) for name in watched}
        fingerprint, self._units = blake2b(digest_size=16), Units(self.mapping)
        for message in self.recorded():
            topic = self.topics.setdefault(message.topic, Topic(message.topic, message.type))
            topic.count += 1
            topic.first = message.log_time if topic.count == 1 else min(topic.first, message.log_time)
            topic.last = max(topic.last, message.log_time)
            self._units.see(message)
            if message.topic in watched:
                fingerprint.update(message.data)
                self._look(topic, message)
        self.fingerprint = fingerprint.hexdigest()

    def _look(self, topic: Topic, message: Recorded) -> None:
        stamp = message.stamp
        if stamp is not None:
            topic.backwards += stamp < topic.newest_stamp
            topic.newest_stamp = max(topic.newest_stamp, stamp)
            topic.lags.append((message.log_time - stamp) / 1e9)
            topic.stamps.append(stamp)
        if message.type in (IMAGE, COMPRESSED, JOINT_STATE):
            decoded = decode(message)
            topic.undecodable += decoded is None
            if decoded is not None and message.type == JOINT_STATE:
                self.joint_names.update(decoded.name)

    def _take_compressed(self) -> None:
        """Without a mapping: a stock camera may have been recorded compressed only."""
        cameras = {
            role: compressed(topic) if topic not in self.topics and compressed(topic) in self.topics else topic
            for role, topic in self.mapping.cameras.items()
        }
        self.mapping = replace(self.mapping, cameras=cameras)

    def _fall_back(self, error: Exception) -> None:
        """Read the storage files from the front after the normal reader has given up."""
        path = self.path
        files = [path] if path.is_file() else sorted([*path.glob("*.mcap"), *path.glob("*.db3")])
        self._salvaged = files
        self._scan()
        total = sum(topic.count for topic in self.topics.values())
        if not total:
            raise BagError(f"{path}: nothing readable ({error}). Is this a rosbag2? Try `ros2 bag info {path}`.")
        why = ", ".join(sorted({name for file in files if (name := cut(file))})) or str(error)
        self.problems.append(
            Problem(
                "truncated",
                f"{path}: the recording is damaged ({why}); {total} messages before that are used. "
                "`mcap recover` (or `ros2 bag reindex` of a folder) may bring back more.",
            )
        )


def nearest(sorted_times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Index of the nearest of ``sorted_times`` ``(N,)`` to each of ``wanted`` ``(M,)``."""
    after = np.searchsorted(sorted_times, wanted).clip(1, max(len(sorted_times) - 1, 1))
    if len(sorted_times) == 1:
        return np.zeros(len(wanted), int)
    return after - (wanted - sorted_times[after - 1] <= sorted_times[after] - wanted)
