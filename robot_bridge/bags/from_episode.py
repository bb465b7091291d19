"""Turn an episode into a bag, with the topics, types, rates and delays a real cell would have recorded."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robot_bridge.bags.episode import Episode, decode_video
from robot_bridge.bags.recorded import COMMANDED_POSE
from robot_bridge.bags.writer import BagWriter
from robot_model import gripper, ros_names
from robot_model.conventions import CONTROL_PERIOD, pose_to_matrix

EPOCH = 1_700_000_000_000_000_000
"""Stamp [ns] of the first frame of every bag: episodes carry no wall time, so all begin at the same made-up one."""
CAMERA_DELAY = 41_000_000
"""ns between the exposure that a ZED stamps and the receipt of the image."""
JOINT_DELAY = 1_000_000
SETTLE = 100_000_000
"""ns by which the instruction precedes the first frame."""

Timed = tuple[int, str, Any]


def write_bag(
    episode: Episode, robot: str, instruction: str, target: Path, progress: Callable[[], object] = lambda: None
) -> int:
    """Write an episode as a bag and return the number of messages.

    Args:
        episode: What `load_episode` returned.
        robot: ``panda`` or ``fr3``: prefix of the joint and frame names.
        instruction: Published once, before the first frame.
        target: See `BagWriter`.
        progress: Called after every frame.

    Raises:
        BagError: The target exists already, or a video cannot be decoded to its end.
    """
    with BagWriter(target) as bag:
        text = bag.store.types["std_msgs/msg/String"](instruction)
        bag.write(ros_names.INSTRUCTION, EPOCH - SETTLE, text, latched=True)
        count = 1
        streams = [_images(bag, episode, progress), _joint_states(bag, episode, robot), _commands(bag, episode, robot)]
        for time, topic, message in heapq.merge(*streams, key=lambda timed: timed[0]):
            bag.write(topic, time, message)
            count += 1
    return count


def _images(bag: BagWriter, episode: Episode, progress: Callable[[], object]) -> Iterator[Timed]:
    views = list(episode.videos)
    decoders = [decode_video(path) for path in episode.videos.values()]
    for index, pixels in zip(range(episode.frames), zip(*decoders, strict=False), strict=False):
        stamp = EPOCH + round(index * episode.frame_period * 1e9)
        for view, bgra in zip(views, pixels, strict=True):
            frame = f"zed_{view}_left_camera_optical_frame"
            yield stamp + CAMERA_DELAY, ros_names.camera_topic(view), bag.image(stamp, frame, bgra)
            info = _camera_info(bag, bag.header(stamp, frame), bgra.shape, episode.cameras.get(view))
            yield stamp + CAMERA_DELAY, ros_names.camera_info_topic(view), info
        progress()


def _camera_info(bag: BagWriter, header: Any, shape: tuple[int, ...], camera: dict[str, Any] | None) -> Any:
    """CameraInfo; K is all zero, ROS's way of saying "not calibrated", where the episode has no calibration."""
    k = np.asarray(camera["K"], dtype=float).reshape(3, 3) if camera else np.zeros((3, 3))
    p = np.hstack([k, np.zeros((3, 1))])
    height, width = shape[:2]
    roi = bag.store.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return bag.store.types["sensor_msgs/msg/CameraInfo"](
        header, height, width, "plumb_bob", np.zeros(5), k.ravel(), np.eye(3).ravel(), p.ravel(), 0, 0, roi
    )


def _joint_states(bag: BagWriter, episode: Episode, robot: str) -> Iterator[Timed]:
    names = [f"{robot}_joint{index}" for index in range(1, 8)] + [gripper.KNUCKLE_JOINT]
    positions = np.column_stack([episode.joints, gripper.to_radians(episode.gripper)])
    # DROID records no joint velocities; these are differences of the positions.
    velocities = np.gradient(positions, CONTROL_PERIOD, axis=0) if len(positions) > 1 else np.zeros_like(positions)
    for index, (position, velocity) in enumerate(zip(positions, velocities, strict=True)):
        stamp = EPOCH + round(index * CONTROL_PERIOD * 1e9)
        header = bag.header(stamp, "")
        message = bag.store.types["sensor_msgs/msg/JointState"](header, names, position, velocity, np.zeros(0))
        yield stamp + JOINT_DELAY, ros_names.JOINT_STATES, message


def _commands(bag: BagWriter, episode: Episode, robot: str) -> Iterator[Timed]:
    """What the operator commanded, for the eye of a reader: never played to a command topic."""
    if episode.commanded is None:
        return
    from scipy.spatial.transform import Rotation

    point, quaternion, pose = (bag.store.types[f"geometry_msgs/msg/{name}"] for name in ("Point", "Quaternion", "Pose"))
    matrices = pose_to_matrix(episode.commanded[: len(episode.joints)])
    for index, matrix in enumerate(matrices):
        stamp = EPOCH + round(index * CONTROL_PERIOD * 1e9)
        turn = Rotation.from_matrix(matrix[:3, :3]).as_quat()
        place = pose(point(*map(float, matrix[:3, 3])), quaternion(*map(float, turn)))
        message = bag.store.types["geometry_msgs/msg/PoseStamped"](bag.header(stamp, f"{robot}_link0"), place)
        yield stamp + JOINT_DELAY, COMMANDED_POSE, message
