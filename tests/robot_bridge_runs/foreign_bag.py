"""A recording of another laboratory: other names, sizes, encodings, rates, gripper and storage than a stock cell's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from robot_model.conventions import DROID_RESET_JOINTS

START = 1_750_000_000_000_000_000
STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types
JOINTS = tuple(f"lab_arm_j{index}" for index in range(1, 8))
CAMERAS = {
    "/front_left/color/image_raw": ("rgb8", (640, 360)),
    "/front_right/image/compressed": ("jpeg", (424, 240)),
    "/hand_eye/image_raw": ("bgr8", (320, 240)),
}
GRIPPER = "/gripper_width"
RATE = 15.0


def header(stamp: int) -> Any:
    return TYPES["std_msgs/msg/Header"](TYPES["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9)), "lab")


def image(stamp: int, encoding: str, rgb: np.ndarray) -> Any:
    """An Image or CompressedImage of an RGB picture."""
    if encoding == "jpeg":
        data = cv2.imencode(".jpg", rgb[..., ::-1])[1].ravel()
        return TYPES["sensor_msgs/msg/CompressedImage"](header(stamp), "rgb8; jpeg compressed bgr8", data)
    pixels = {
        "rgb8": lambda: rgb,
        "bgr8": lambda: rgb[..., ::-1],
        "bgra8": lambda: np.dstack([rgb[..., ::-1], np.full(rgb.shape[:2], 255, np.uint8)]),
        "mono8": lambda: cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None],
    }[encoding]()
    height, width, channels = pixels.shape
    data = np.ascontiguousarray(pixels).ravel()
    return TYPES["sensor_msgs/msg/Image"](header(stamp), height, width, encoding, 0, width * channels, data)


def scene(size: tuple[int, int], shade: int, time: float) -> np.ndarray:
    """A picture ``(h, w, 3)`` in which a square moves to the right."""
    width, height = size
    picture = np.full((height, width, 3), 60, np.uint8)
    picture[:, :, shade] = 120
    left = int((0.1 + 0.1 * time) * width)
    picture[height // 3 : height // 2, left : left + width // 8] = 230
    return picture


def write_foreign(
    path: Path, seconds: float = 3.0, storage: str = "sqlite3", lag: float = 0.03, rate: float = RATE
) -> Path:
    """Three cameras at 15 Hz that are not synchronised, joints at 50 Hz, a gripper that counts millimetres of width.

    The gripper is open (80) in the first half and closed (0) in the second. Headers are ``lag`` seconds old.
    """
    plugin = {"sqlite3": StoragePlugin.SQLITE3, "mcap": StoragePlugin.MCAP}[storage]
    messages: list[tuple[int, str, Any]] = []
    for index, (topic, (encoding, size)) in enumerate(CAMERAS.items()):
        for frame in range(int(seconds * rate)):
            time = frame / rate + 0.02 * index
            stamp = START + round(time * 1e9)
            messages.append((stamp + round(lag * 1e9), topic, image(stamp, encoding, scene(size, index, time))))
    for sample in range(int(seconds * 50)):
        stamp = START + sample * 20_000_000
        swing = DROID_RESET_JOINTS + [0.3 * np.sin(sample / 50), 0, 0, 0, 0, 0, 0]
        order = [6, 0, 1, 2, 3, 4, 5]
        state = TYPES["sensor_msgs/msg/JointState"](
            header(stamp), [JOINTS[i] for i in order], swing[order], np.zeros(7), np.zeros(0)
        )
        messages.append((stamp + 2_000_000, "/lab/arm_states", state))
        width = 80.0 if sample < seconds * 25 else 0.0
        messages.append((stamp + 1_000_000, GRIPPER, TYPES["std_msgs/msg/Float64"](width)))
    messages.append((START, "/task_description", TYPES["std_msgs/msg/String"]("pick up the towel")))
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections: dict[str, Any] = {}
        for time, topic, message in sorted(messages, key=lambda timed: timed[:2]):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=STORE)
            writer.write(connections[topic], time, STORE.serialize_cdr(message, message.__msgtype__))
    return path
