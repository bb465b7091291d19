"""One episode of a DROID-style dataset: its annotation as arrays, and its videos as frames.

Layout (docs/models.md): ``ROOT/annotation/SPLIT/ID.json`` with videos and labels named relative to ROOT. Recordings of
the simulated cell carry a ``vidplan`` key with cameras, target and labels; real DROID episodes do not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.cameras import Camera
from models.errors import DatasetError

STATES_PER_FRAME = 3
"""15 Hz robot states per 5 Hz video frame."""
DEFAULT_VIEWS = ("left", "right", "wrist")
"""Order of the videos of an episode that does not say: exterior 1, exterior 2, wrist."""


@dataclass(frozen=True)
class Episode:
    """The robot's side of an episode of T frames.

    Attributes:
        name: Its annotation's file name without ending.
        text: Instruction, empty when there is none.
        target: Object phrase of the instruction where the recording says it, else empty.
        success: Whether the task was done at the end.
        poses: ``(T, 7)`` float32 measured flange poses and gripper at the frames.
        commands: ``(T, 7)`` float32 poses the arm was told to have at the frames (the measured ones where the episode
            carries no commands, as Ctrl-World does).
        videos: One path per view, in the order asked for.
        labels: Path of the labels, None for real episodes.
        cameras: Calibration per view at the video's size, None for real episodes.
        video_size: (rows, columns) the cameras are for.
    """

    name: str
    text: str
    target: str
    success: bool
    poses: np.ndarray
    commands: np.ndarray
    videos: tuple[Path, ...]
    labels: Path | None
    cameras: tuple[Camera, ...] | None
    video_size: tuple[int, int] | None


def read_episode(root: Path, annotation: Path, views: tuple[str, ...]) -> Episode:
    """Read an annotation.

    Raises:
        DatasetError: It cannot be read or lacks what every episode must have; the message is a short reason.
    """
    try:
        values = json.loads(annotation.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError("annotation is not readable JSON") from error
    try:
        recorded = values.get("vidplan") or {}
        order = tuple(recorded.get("view_order", DEFAULT_VIEWS))
        paths = [root / video["video_path"] for video in values["videos"]]
        videos = tuple(paths[order.index(view)] for view in views)
        poses = _poses_at_frames(values)
        commands = _commands_at_frames(values, poses)
        cameras = _cameras(recorded["cameras"], views) if "cameras" in recorded else None
        size = recorded["cameras"][views[0]]["size"] if cameras else None
        labels = root / recorded["labels"] if recorded.get("labels") else None
        texts = [text for text in values.get("texts", []) if isinstance(text, str)]
        return Episode(
            name=annotation.stem,
            text=texts[0] if texts else "",
            target=str(recorded.get("target", "")),
            success=bool(values.get("success", 0)),
            poses=poses,
            commands=commands,
            videos=videos,
            labels=labels,
            cameras=cameras,
            video_size=(size[1], size[0]) if size else None,
        )
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise DatasetError(f"annotation lacks or garbles {error}") from error


def decode_video(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Frames ``(T, rows, columns, 3)`` uint8 RGB of a video, area-averaged to ``size``.

    Raises:
        DatasetError: The file is missing or not a video.
    """
    import av
    import cv2
    from av.video.reformatter import VideoReformatter

    rows, columns = size
    convert = VideoReformatter()  # one for all frames: each new one costs 5 ms
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            frames = [
                cv2.resize(
                    convert.reformat(frame, format="rgb24").to_ndarray(), (columns, rows), interpolation=cv2.INTER_AREA
                )
                for frame in container.decode(video=0)
            ]
    except (OSError, IndexError, ValueError) as error:
        raise DatasetError("a video is missing or damaged") from error
    if not frames:
        raise DatasetError("a video holds no frame")
    return np.stack(frames)


def read_segmentation(path: Path, frames: int, views: int, size: tuple[int, int]) -> np.ndarray:
    """Class ids ``(frames, views, rows, columns)`` uint8 of a label file.

    Raises:
        DatasetError: It is missing, damaged, or of another size.
    """
    try:
        with np.load(path, allow_pickle=False) as labels:
            segmentation = labels["segmentation"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DatasetError("labels are missing or damaged") from error
    if segmentation.shape[1:] != (views, *size) or len(segmentation) < frames:
        raise DatasetError(f"labels have shape {segmentation.shape}, need ({frames}, {views}, {size[0]}, {size[1]})")
    return segmentation[:frames].astype(np.uint8)


def read_object_positions(path: Path) -> np.ndarray:
    """Positions ``(T, n, 3)`` of the objects of classes 1..n, metres; NaN where one is not on the table."""
    with np.load(path, allow_pickle=False) as labels:
        return labels["object_positions"]


def _poses_at_frames(values: dict[str, Any]) -> np.ndarray:
    if "observation.state.cartesian_position" in values:
        poses = np.asarray(values["observation.state.cartesian_position"], dtype=np.float32)
        gripper = np.asarray(values["observation.state.gripper_position"], dtype=np.float32)
        states = np.concatenate([poses, gripper.reshape(len(poses), 1)], axis=1)[::STATES_PER_FRAME]
    else:
        states = np.asarray(values["states"], dtype=np.float32)
    if states.ndim != 2 or states.shape[1] != 7 or not np.isfinite(states).all():
        raise ValueError("the states (need finite rows of 7)")
    return states


def _commands_at_frames(values: dict[str, Any], poses: np.ndarray) -> np.ndarray:
    """The command of control step n is due one control period later: frame j belongs to step 3 j - 1."""
    if "action.cartesian_position" not in values:
        return poses
    actions = np.asarray(values["action.cartesian_position"], dtype=np.float32)
    gripper = np.asarray(values["action.gripper_position"], dtype=np.float32).reshape(len(actions), 1)
    due = np.concatenate([actions, gripper], axis=1)[STATES_PER_FRAME - 1 :: STATES_PER_FRAME]
    commands = np.concatenate([poses[:1], due])[: len(poses)]
    if commands.shape != poses.shape or not np.isfinite(commands).all():
        raise ValueError("the actions (need finite rows of 7, one per state)")
    return commands


def _cameras(values: dict[str, Any], views: tuple[str, ...]) -> tuple[Camera, ...]:
    cameras = []
    for view in views:
        camera = values[view]
        mount = "base" if "T_base_camera" in camera else "flange"
        matrix, transform = np.asarray(camera["K"], float), np.asarray(camera[f"T_{mount}_camera"], float)
        if matrix.shape != (3, 3) or transform.shape != (4, 4):
            raise ValueError(f"the calibration of {view}")
        cameras.append(Camera(view, tuple(map(tuple, matrix.tolist())), mount, tuple(map(tuple, transform.tolist()))))
    return tuple(cameras)


def scaled(cameras: tuple[Camera, ...], original: tuple[int, int], size: tuple[int, int]) -> tuple[Camera, ...]:
    """The same cameras for images resized from ``original`` to ``size`` (rows, columns)."""
    down, across = size[0] / original[0], size[1] / original[1]
    scale = np.diag([across, down, 1.0])
    return tuple(
        Camera(c.name, tuple(map(tuple, (scale @ np.array(c.matrix)).tolist())), c.mount, c.transform) for c in cameras
    )
