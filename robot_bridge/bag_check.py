"""What is wrong with a recording, in sentences a person can act on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from robot_bridge.recorded import JOINT_STATE, NEEDED, OPTIONAL, ROBOTS
from robot_model import ros_names


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


def judge(topics: Mapping[str, Topic], joint_names: Collection[str]) -> list[Problem]:
    """Everything wrong with what a bag holds, the faults that prevent planning first.

    Args:
        topics: `Topic` by name.
        joint_names: Names in the recorded joint states.
    """
    problems = []
    for name, kind in NEEDED.items():
        topic = topics.get(name)
        if topic is None or not topic.count:
            problems.append(Problem("missing_topic", _missing(name, kind, topics)))
        elif topic.type != kind:
            text = f"{name} is recorded as {topic.type}, the bridge reads {kind}. Record it with that type."
            problems.append(Problem("wrong_type", text))
    states = topics.get(ros_names.JOINT_STATES)
    if recorded_robot(joint_names) is None and states is not None and states.count and states.type == JOINT_STATE:
        text = (
            f"{states.name} names the joints {', '.join(sorted(joint_names)[:8]) or '(none)'}; the bridge knows "
            f"{' and '.join(f'{robot}_joint1..7' for robot in ROBOTS)}."
        )
        problems.append(Problem("wrong_joints", text))
    for name, kind in OPTIONAL.items():
        if name in topics and topics[name].type != kind:
            text = f"{name} is recorded as {topics[name].type}, expected {kind}; it is not used."
            problems.append(Problem("wrong_type", text))
    if ros_names.INSTRUCTION not in topics or not topics[ros_names.INSTRUCTION].count:
        text = f"no {ros_names.INSTRUCTION} in the bag: give the task with --instruction."
        problems.append(Problem("no_instruction", text, damage=False))
    for topic in topics.values():
        if topic.name in NEEDED:
            problems += _judge_messages(topic)
    return problems


def recorded_robot(joint_names: Collection[str]) -> str | None:
    """``panda`` or ``fr3`` where all seven joints of one are among the names, else None."""
    return next((robot for robot in ROBOTS if {f"{robot}_joint{i}" for i in range(1, 8)} <= set(joint_names)), None)


def _judge_messages(topic: Topic) -> list[Problem]:
    problems = []
    if topic.undecodable:
        text = f"{topic.name}: {topic.undecodable} of {topic.count} messages cannot be decoded and are skipped."
        problems.append(Problem("undecodable", text))
    if topic.backwards:
        text = (
            f"{topic.name}: {topic.backwards} of {topic.count} header stamps run backwards; the bridge sorts in "
            "what is a little late and refuses the rest. Was the clock set back, or were two publishers on this topic?"
        )
        problems.append(Problem("out_of_order", text))
    lag = sorted(topic.lags)[len(topic.lags) // 2] if topic.lags else 0.0
    if not -0.05 < lag < 1.0:
        text = (
            f"{topic.name}: header stamps are {lag:.3f} s before the time of receipt (median), so the bridge will "
            "call every message stale. Were the machines' clocks synchronised (chrony, PTP)?"
        )
        problems.append(Problem("clock", text))
    return problems


def _missing(name: str, kind: str, topics: Mapping[str, Topic]) -> str:
    others = sorted(other for other, topic in topics.items() if topic.type == kind and other not in NEEDED)
    hint = f" The bag has these {kind} topics: {', '.join(others)}." if others else ""
    return (
        f"{name} ({kind}) is missing, so nothing can be planned.{hint} "
        f"Record it under that name, e.g. `ros2 bag record -s mcap {name} ...` with the driver remapped to it."
    )
