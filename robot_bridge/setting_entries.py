"""Settings whose text has parts: cameras as ROLE=TOPIC, boxes as six numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

from robot_bridge.errors import ConfigError
from robot_bridge.setting import TOPIC, checked
from robot_model.shapes import KeepOut


def camera_topics(setting: str, entries: Iterable[str]) -> dict[str, str]:
    """Camera role -> topic.

    Raises:
        ConfigError: There is no entry, one is not ROLE=TOPIC, or a role or topic appears twice.
    """
    topics: dict[str, str] = {}
    for entry in entries:
        role, separator, topic = entry.partition("=")
        if not (separator and role and topic):
            raise ConfigError(setting, f"'{entry}' is not ROLE=TOPIC, e.g. left=/camera/image")
        if role in topics or topic in topics.values():
            raise ConfigError(setting, f"'{entry}' names a role or topic that another camera has already")
        checked(setting, topic, "", {"pattern": TOPIC})
        topics[role] = topic
    if not topics:
        raise ConfigError(setting, "name at least one camera, e.g. left=/zed_left/zed_node/left/color/rect/image")
    return topics


def keep_out_boxes(setting: str, text: str) -> tuple[KeepOut, ...]:
    """The boxes of ``x,y,z,sx,sy,sz; ...`` (metres, arm's base frame), named by their number.

    Raises:
        ConfigError: One of them is not six finite numbers, or has no volume.
    """
    boxes = []
    for index, entry in enumerate(filter(str.strip, text.split(";")), start=1):
        try:
            x, y, z, *size = (float(value) for value in entry.split(","))
            a, b, c = size
        except ValueError as error:
            raise ConfigError(setting, f"'{entry.strip()}' is not six numbers x,y,z,sx,sy,sz") from error
        if not (all(map(math.isfinite, (x, y, z, a, b, c))) and min(a, b, c) > 0):
            raise ConfigError(setting, f"'{entry.strip()}': numbers must be finite and edge lengths positive")
        boxes.append(KeepOut(f"keep-out box {index}", (x, y, z), (a, b, c)))
    return tuple(boxes)
