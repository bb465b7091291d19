"""Make faulty bags of sound ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from robot_bridge.bags.bag import Bag
from robot_bridge.bags.recorded import decode
from robot_bridge.bags.writer import BagWriter
from robot_model import ros_names

LEFT = ros_names.camera_topic("left")


def rewrite(source: Path, target: Path, change: Callable[[str, int, Any], Iterable[tuple[str, int, Any]]]) -> Path:
    """Copy a bag message by message through ``change``."""
    with BagWriter(target) as bag:
        for message in Bag(source).messages():
            for topic, time, decoded in change(message.topic, message.log_time, decode(message)):
                bag.write(topic, time, decoded)
    return target
