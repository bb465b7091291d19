"""Read one episode of the DROID layout, as Ctrl-World publishes it: annotation, three videos, robot state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_bridge.bags.bag import BagError
from robot_model import ros_names
from robot_model.conventions import CONTROL_PERIOD, DROID_RESET_JOINTS, VIDEO_PERIOD, pose_to_matrix

ENOUGH = 0.9
"""Share of the annotated frames below which a video counts as broken instead of a little short."""


@dataclass(frozen=True)
class Episode:
    """One episode, without its pixels.

    Attributes:
        name: ``episode_id``.
        instruction: First non-empty text, or "".
        videos: View name (left, right, wrist) -> file.
        frames: Frames that all views have.
        frame_period: Seconds between frames.
        joints: ``(N, 7)`` measured arm joints, radians, at the 15 Hz control rate.
        gripper: ``(N,)`` measured gripper, 0 open .. 1 closed, same rate.
        commanded: ``(M, 6)`` commanded flange poses at 15 Hz, or None.
        cameras: View name -> ``{"K": 3x3, ...}`` for the video's size, where the episode is calibrated.
        notes: Decisions made on the way that a user should know of.
    """

    name: str
    instruction: str
    videos: dict[str, Path]
    frames: int
    frame_period: float
    joints: np.ndarray
    gripper: np.ndarray
    commanded: np.ndarray | None
    cameras: dict[str, Any]
    notes: tuple[str, ...]


def load_episode(annotation: Path, robot: str) -> Episode:
    """Read an annotation and look at its videos.

    Args:
        annotation: ``ROOT/annotation/SPLIT/ID.json``; the videos are found relative to ROOT.
        robot: ``panda`` or ``fr3``, for inverse kinematics where an episode has poses only.

    Raises:
        BagError: Bad JSON, a missing view, a video much shorter than annotated, or no usable robot state.
    """
    data = _read_json(annotation)
    notes: list[str] = []
    videos = _find_videos(annotation, data)
    lengths = {view: sum(1 for _ in decode_video(path)) for view, path in videos.items()}
    frames, expected = min(lengths.values()), int(data.get("video_length") or max(lengths.values()))
    found = ", ".join(f"{view} {count}" for view, count in lengths.items())
    if frames < max(2, ENOUGH * expected):
        raise BagError(f"{annotation}: a video is too short: annotated {expected} frames, found {found}.")
    if frames < max(expected, *lengths.values()):
        notes.append(f"the videos have {found} of {expected} annotated frames; the bag ends with the shortest")
    period = VIDEO_PERIOD if _control_rate_state(annotation, data) else _video_period(videos)
    joints, gripper = _robot_state(annotation, data, frames, period, robot, notes)
    texts = data.get("texts") or []
    return Episode(
        name=str(data.get("episode_id", annotation.stem)),
        instruction=next((text.strip() for text in texts if isinstance(text, str) and text.strip()), ""),
        videos=videos,
        frames=frames,
        frame_period=period,
        joints=joints,
        gripper=gripper,
        commanded=_array(annotation, data, "action.cartesian_position", 6),
        cameras=(data.get("vidplan") or {}).get("cameras") or {},
        notes=tuple(notes),
    )


def decode_video(path: Path) -> Iterator[np.ndarray]:
    """Frames of a video as ``(h, w, 4)`` uint8 BGRA, one after the other.

    Raises:
        BagError: The file cannot be decoded.
    """
    import av

    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="bgra")
    except (av.FFmpegError, IndexError, OSError) as error:
        raise BagError(f"{path}: the video cannot be decoded ({error}).") from error


def _read_json(annotation: Path) -> dict[str, Any]:
    try:
        data = json.loads(annotation.read_text())
    except OSError as error:
        raise BagError(f"{annotation}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise BagError(f"{annotation}: not valid JSON ({error}).") from error
    if not isinstance(data, dict) or "videos" not in data:
        raise BagError(f"{annotation}: no DROID annotation (it has no 'videos').")
    return data


def _find_videos(annotation: Path, data: dict[str, Any]) -> dict[str, Path]:
    """Files of the views; the layout's order is exterior 1, exterior 2, wrist."""
    root = next((p.parent for p in annotation.resolve().parents if p.name == "annotation"), None)
    if root is None:
        raise BagError(f"{annotation}: no folder named 'annotation' above it; videos are found relative to its parent.")
    order = (data.get("vidplan") or {}).get("view_order") or ros_names.CAMERAS
    entries = data["videos"]
    if not isinstance(entries, list) or len(entries) < len(order):
        count = len(entries) if isinstance(entries, list) else 0
        raise BagError(f"{annotation}: {count} videos listed, need {len(order)} ({', '.join(order)}).")
    videos = {}
    for view, entry in zip(order, entries, strict=False):
        relative = entry.get("video_path") if isinstance(entry, dict) else None
        if not isinstance(relative, str):
            raise BagError(f"{annotation}: the {view} view has no 'video_path'.")
        videos[view] = root / relative
        if not videos[view].is_file():
            raise BagError(f"{annotation}: the {view} view is missing: {videos[view]} does not exist.")
    return videos


def _video_period(videos: dict[str, Path]) -> float:
    """Seconds between frames as the container says (published episodes have 4-5 Hz), else 5 Hz."""
    import av

    rates = set()
    for path in videos.values():
        with av.open(str(path)) as container:
            rates.add(float(container.streams.video[0].average_rate or 0))
    rate = rates.pop() if len(rates) == 1 else 0.0
    return 1 / rate if 3.5 <= rate <= 6 else VIDEO_PERIOD


def _control_rate_state(annotation: Path, data: dict[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    joints = _array(annotation, data, "observation.state.joint_position", 7)
    gripper = _array(annotation, data, "observation.state.gripper_position", 1)
    if joints is None or gripper is None:
        return None
    rows = min(len(joints), len(gripper))
    return joints[:rows], gripper[:rows, 0]


def _robot_state(
    annotation: Path, data: dict[str, Any], frames: int, period: float, robot: str, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 7) and gripper (N,) at 15 Hz, from the best source the episode has."""
    measured = _control_rate_state(annotation, data)
    if measured is not None:
        needed = round((frames - 1) * period / CONTROL_PERIOD) + 1
        if len(measured[0]) < ENOUGH * needed:
            raise BagError(
                f"{annotation}: {len(measured[0])} robot states at 15 Hz for {frames} frames; need {needed}."
            )
        return measured[0][:needed], measured[1][:needed]
    joints = _array(annotation, data, "joints", 8)
    if joints is not None:
        notes.append("joints at video rate only, interpolated to 15 Hz")
    else:
        states = _array(annotation, data, "states", 7)
        if states is None:
            raise BagError(
                f"{annotation}: no robot state; need observation.state.joint_position and gripper_position (15 Hz), "
                "or 'joints' (T, 8), or 'states' (T, 7) at video rate."
            )
        joints = np.hstack([_solve(annotation, states, robot), states[:, 6:]])
        notes.append("no joints recorded: solved from the poses by inverse kinematics, interpolated to 15 Hz")
    if len(joints) < ENOUGH * frames:
        raise BagError(f"{annotation}: {len(joints)} robot states for {frames} frames.")
    joints = joints[:frames]
    frame_times = np.arange(len(joints)) * period
    times = np.arange(round(frame_times[-1] / CONTROL_PERIOD) + 1) * CONTROL_PERIOD
    dense = np.stack([np.interp(times, frame_times, column) for column in joints.T], axis=1)
    return dense[:, :7], dense[:, 7]


def _solve(annotation: Path, states: np.ndarray, robot: str) -> np.ndarray:
    from robot_model.franka import franka
    from robot_model.ik import InverseKinematics
    from robot_model.kinematics import ArmKinematics

    solver = InverseKinematics(ArmKinematics(franka(robot)))
    seed, solved = DROID_RESET_JOINTS, []
    for index, target in enumerate(pose_to_matrix(states)):
        result = solver.solve(target, seed)
        if result.position_error > 0.01:
            raise BagError(
                f"{annotation}: state {index} is out of the {robot}'s reach (off by {result.position_error:.3f} m)."
            )
        seed = result.q
        solved.append(seed)
    return np.array(solved)


def _array(annotation: Path, data: dict[str, Any], key: str, width: int) -> np.ndarray | None:
    """``(N, width)`` float array of an entry, or None where the episode does not carry it."""
    if not data.get(key):
        return None
    try:
        array = np.asarray(data[key], dtype=float).reshape(len(data[key]), -1)
    except (TypeError, ValueError) as error:
        raise BagError(f"{annotation}: '{key}' is not a table of numbers ({error}).") from error
    if array.shape[1] != width or not np.isfinite(array).all():
        raise BagError(f"{annotation}: '{key}' must be finite numbers, {width} per row; got {array.shape[1]} per row.")
    return array
