"""What is wrong with a recording, in sentences a person can act on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from robot_bridge.bags.mapping import BagMapping
from robot_bridge.bags.recorded import COMPRESSED, IMAGE, JOINT_STATE, NEEDED, OPTIONAL, ROBOTS, recorded_robot
from robot_model.conventions import VIDEO_PERIOD

SLOW = 0.9 / VIDEO_PERIOD
"""Frames per second below which a camera is slower than the planner's look."""
MAP_IT = "A mapping file says what is what: `vidplan bag inspect BAG --write-mapping FILE`."


@dataclass(frozen=True)
class Problem:
    """Something wrong with a bag.

    Attributes:
        kind: ``truncated``, ``missing_topic``, ``wrong_type``, ``wrong_joints``, ``out_of_order``, ``undecodable``,
            ``clock``, ``units``, ``slow``, ``no_gripper`` or ``no_instruction``.
        text: What was found, where, and what to do.
        damage: The recording itself is faulty (as opposed to: something optional is not in it).
    """

    kind: str
    text: str
    damage: bool = True


@dataclass
class Topic:
    """What a bag holds of one topic.

    Times are in ns of receipt, ``lags`` in seconds from stamp to receipt, ``stamps`` in ns; ``backwards`` counts stamps
    earlier than one before.
    """

    name: str
    type: str
    count: int = 0
    first: int = 0
    last: int = 0
    backwards: int = 0
    undecodable: int = 0
    lags: list[float] = field(default_factory=list, repr=False)
    stamps: list[int] = field(default_factory=list, repr=False)
    newest_stamp: int = -(2**62)

    @property
    def seconds(self) -> float:
        """Time between the first and the last message."""
        return (self.last - self.first) / 1e9

    @property
    def rate(self) -> float:
        """Messages per second, 0 where there are fewer than two."""
        return (self.count - 1) / self.seconds if self.count > 1 and self.seconds > 0 else 0.0


def judge(topics: Mapping[str, Topic], mapping: BagMapping, joint_names: Collection[str]) -> list[Problem]:
    """Everything wrong with what a bag holds, the faults that prevent planning first.

    Args:
        topics: `Topic` by its name in the bag.
        mapping: What they are called.
        joint_names: Names in the recorded joint states.
    """
    problems, used = [], []
    for name in NEEDED:
        recorded, kinds = mapping.recorded_names[name], kinds_of(name)
        topic = topics.get(recorded)
        if topic is None or not topic.count:
            problems.append(Problem("missing_topic", _missing(recorded, kinds, topics, mapping)))
        elif topic.type not in kinds:
            text = f"{recorded} is recorded as {topic.type}, the bridge reads {kinds[0]}. Record it with that type."
            problems.append(Problem("wrong_type", text))
        else:
            used.append(topic)
    states = topics.get(mapping.joints_topic)
    if states is not None and states.count and states.type == JOINT_STATE:
        problems += _judge_joints(mapping, joint_names)
    for name, kind in OPTIONAL.items():
        recorded = mapping.recorded_names.get(name, name)
        if recorded in topics and topics[recorded].type != kind:
            text = f"{recorded} is recorded as {topics[recorded].type}, expected {kind}; it is not used."
            problems.append(Problem("wrong_type", text))
    if mapping.instruction_topic not in topics or not topics[mapping.instruction_topic].count:
        text = f"no {mapping.instruction_topic} in the bag: give the task with --instruction."
        problems.append(Problem("no_instruction", text, damage=False))
    if mapping.gripper is not None and not topics.get(mapping.gripper.topic, Topic("", "")).count:
        text = f"no {mapping.gripper.topic} in the bag: the gripper counts as open."
        problems += [Problem("no_gripper", text, damage=False)] if mapping.gripper.topic != mapping.joints_topic else []
    for topic in used:
        problems += _judge_messages(topic, mapping)
    return problems


def kinds_of(name: str) -> tuple[str, ...]:
    """The types in which a topic of `NEEDED` may be recorded."""
    return (IMAGE, COMPRESSED) if NEEDED[name] == IMAGE else (NEEDED[name],)


def _judge_joints(mapping: BagMapping, joint_names: Collection[str]) -> list[Problem]:
    found = ", ".join(sorted(joint_names)[:8]) or "(none)"
    if mapping.joints and not set(mapping.joints) <= set(joint_names):
        absent = ", ".join(name for name in mapping.joints if name not in joint_names)
        text = f"{mapping.joints_topic} names the joints {found}; the mapping wants {absent} too."
    elif not mapping.joints and recorded_robot(joint_names) is None:
        text = (
            f"{mapping.joints_topic} names the joints {found}; the bridge knows "
            f"{' and '.join(f'{robot}_joint1..7' for robot in ROBOTS)}. {MAP_IT}"
        )
    else:
        return []
    return [Problem("wrong_joints", text)]


def _judge_messages(topic: Topic, mapping: BagMapping) -> list[Problem]:
    problems = []
    if 0 < topic.rate < SLOW and topic.type != JOINT_STATE:
        text = (
            f"{topic.name}: {topic.rate:.1f} frames per second; the planner looks {SLOW / 0.9:.0f} times per second. "
        )
        text += "Each is repeated." if mapping.hold_frames else "A mapping file with 'hold_frames: true' repeats them."
        problems.append(Problem("slow", text, damage=False))
    if topic.undecodable:
        text = f"{topic.name}: {topic.undecodable} of {topic.count} messages cannot be decoded and are skipped."
        problems.append(Problem("undecodable", text))
    if topic.backwards:
        text = (
            f"{topic.name}: {topic.backwards} of {topic.count} header stamps run backwards; the bridge sorts in "
            "what is a little late and refuses the rest. Was the clock set back, or were two publishers on this topic?"
        )
        problems.append(Problem("out_of_order", text))
    if mapping.stamps == "receipt":
        return problems
    lag = sorted(topic.lags)[len(topic.lags) // 2] if topic.lags else 0.0
    if not -0.05 < lag < 1.0:
        text = (
            f"{topic.name}: header stamps are {lag:.3f} s before the time of receipt (median), so the bridge will "
            "call every message stale. Were the machines' clocks synchronised (chrony, PTP)? "
            "A mapping file with 'stamps: receipt' plans on the times of receipt instead."
        )
        problems.append(Problem("clock", text))
    return problems


def _missing(name: str, kinds: Sequence[str], topics: Mapping[str, Topic], mapping: BagMapping) -> str:
    known = set(mapping.recorded_names.values())
    others = sorted(other for other, topic in topics.items() if topic.type in kinds and other not in known)
    hint = f" The bag has these {' and '.join(kinds)} topics: {', '.join(others)}." if others else ""
    stock = BagMapping().recorded_names.values()
    advice = f" {MAP_IT}" * bool(others) + (
        f" Record it under that name, e.g. `ros2 bag record -s mcap {name} ...` with the driver remapped to it."
    )
    return f"{name} ({kinds[0]}) is missing, so nothing can be planned.{hint}" + (
        advice if name in stock else " Mend its name in the mapping file."
    )
