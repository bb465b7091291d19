"""Recorded messages: which topics count, and how their bytes are read."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from robot_model import ros_names

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JOINT_STATE, STRING = "sensor_msgs/msg/JointState", "std_msgs/msg/String"
NEEDED = {**{ros_names.camera_topic(name): IMAGE for name in ros_names.CAMERAS}, ros_names.JOINT_STATES: JOINT_STATE}
"""Topics without which nothing can be planned, and their types; a camera may also be `COMPRESSED`."""
OPTIONAL = {
    ros_names.INSTRUCTION: STRING,
    **{ros_names.camera_info_topic(name): "sensor_msgs/msg/CameraInfo" for name in ros_names.CAMERAS},
}
COMMANDED_POSE = "/recorded/commanded_pose"
"""geometry_msgs/PoseStamped: what the operator commanded when the episode was recorded."""
ROBOTS = ("panda", "fr3")
NO_CAMERA = ("depth", "infra", "disparity", "confidence", "mask", "theora", "/right/color", "right_raw", "/right/image")
"""Parts of topic names that are no colour picture, or the right eye of a stereo camera."""
_STAMPED = ("sensor_msgs/", "geometry_msgs/msg/PoseStamped", "trajectory_msgs/msg/JointTrajectory")


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


def decode(message: Recorded) -> Any | None:
    """The decoded message, or None when its bytes are not a sound message of its type."""
    try:
        decoded = typestore().deserialize_cdr(message.data, message.type)
    except Exception:  # rosbags raises several kinds for malformed bytes; all mean the same here
        return None
    if message.type == IMAGE and len(decoded.data) < decoded.step * decoded.height:
        return None
    if message.type == COMPRESSED and not len(decoded.data):
        return None
    if message.type == JOINT_STATE and len(decoded.name) > len(decoded.position):
        return None
    return decoded


def picture_topics(kinds: Mapping[str, str]) -> list[str]:
    """Topics of colour pictures, in order of their names; of a picture that is there raw and compressed, the raw one.

    Args:
        kinds: Topic -> type.
    """
    found = [name for name, kind in kinds.items() if kind in (IMAGE, COMPRESSED)]
    found = [name for name in found if not any(part in name.lower() for part in NO_CAMERA)]
    return sorted(n for n in found if not (n.endswith("/compressed") and n.removesuffix("/compressed") in found))


def recorded_robot(joint_names: Collection[str]) -> str | None:
    """``panda`` or ``fr3`` where all seven joints of one are among the names, else None."""
    return next((robot for robot in ROBOTS if {f"{robot}_joint{i}" for i in range(1, 8)} <= set(joint_names)), None)


@lru_cache(maxsize=1)
def typestore() -> Any:
    """The message types that bags are read and written with."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)
