"""One episode of a recorded dataset, whatever its layout: the robot's side as arrays, and where its images lie.

Each layout is a class that lists and reads episodes (`EpisodeSource`): `models.droid_folder` and `models.lerobot`.
`models.data.Dataset` turns either into frames.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from models.cameras import Camera
from models.errors import DatasetError

if TYPE_CHECKING:
    from models.video_files import Video

FRAME_RATE = 5
"""Video frames per second every model sees."""
LENGTH_TOLERANCE = 1
"""Frames by which the videos and states of an episode may differ in length: recorders stop one of them first."""


class BrokenEpisodeError(DatasetError):
    """An episode that cannot be used. Its text is ``KIND: detail``; `summarise` counts the kinds."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")


@dataclass(frozen=True)
class Episode:
    """The robot's side of an episode of T frames.

    Attributes:
        name: What it is called in its dataset.
        text: Instruction, empty when there is none.
        target: Object phrase of the instruction where the recording says it, else empty.
        success: Whether the task was done at the end; False where the recording does not say.
        poses: ``(T, 7)`` float32 measured flange poses and gripper at the frames.
        commands: ``(T, 7)`` float32 poses the arm was told to have at the frames (the measured ones where the episode
            carries no commands).
        videos: One per view, in the order asked for.
        labels: Path of the labels, None for real episodes.
        cameras: Calibration per view at the video's size, None for real episodes.
        video_size: (rows, columns) the cameras are for.
        latents: Files of precomputed latents per view, None where there are none.
    """

    name: str
    text: str
    target: str
    success: bool
    poses: np.ndarray
    commands: np.ndarray
    videos: tuple[Video, ...]
    labels: Path | None = None
    cameras: tuple[Camera, ...] | None = None
    video_size: tuple[int, int] | None = None
    latents: tuple[Path, ...] | None = None


class EpisodeSource(Protocol):
    """The episodes of a folder of one layout."""

    def stamps(self, split: str) -> dict[str, list[int]]:
        """Names of a split's episodes, in order, each with numbers that change when its file does.

        Raises:
            DatasetError: There is no such split.
        """
        ...

    def read(self, split: str, name: str, views: tuple[str, ...]) -> Episode:
        """Read one of them.

        Raises:
            BrokenEpisodeError: It cannot be used.
        """
        ...


def stamp(path: Path) -> list[int]:
    """Modification time [ns] and size of a file; zeros where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return [0, 0]
    return [status.st_mtime_ns, status.st_size]


def summarise(used: int, skipped: Mapping[str, str]) -> str:
    """One line: ``12 episodes used, 3 skipped: 2 too short, 1 video damaged``."""
    kinds = Counter(reason.split(":")[0] for reason in skipped.values())
    line = f"{used} episode{'s' * (used != 1)} used, {len(skipped)} skipped"
    return line + (": " + ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()) if kinds else "")


def common_length(lengths: Mapping[str, int], shortest: int) -> int:
    """Frames an episode has, given how many each of its parts has.

    Raises:
        BrokenEpisodeError: The parts differ by more than a frame, or there are fewer than ``shortest``.
    """
    least = min(lengths.values())
    if max(lengths.values()) - least > LENGTH_TOLERANCE:
        found = ", ".join(f"{part} {count}" for part, count in lengths.items())
        raise BrokenEpisodeError("lengths differ", f"frames: {found}")
    if least < shortest:
        raise BrokenEpisodeError("too short", f"{least} frames, need {shortest}")
    return least


def pose_rows(poses: Any, gripper: Any, name: str) -> np.ndarray:
    """Rows ``(N, 7)`` float32 of Cartesian poses ``(N, 6)`` and gripper positions ``(N,)`` or ``(N, 1)``.

    Raises:
        BrokenEpisodeError: Another shape, or values that are not finite; ``name`` says what they are.
    """
    try:
        columns = np.asarray(poses, np.float32)
        rows = np.concatenate([columns, np.asarray(gripper, np.float32).reshape(len(columns), 1)], axis=1)
    except (ValueError, TypeError) as error:
        raise BrokenEpisodeError("states unusable", f"{name} (need six values and a gripper per step)") from error
    return checked_rows(rows, name)


def checked_rows(rows: Any, name: str) -> np.ndarray:
    """The same rows as ``(N, 7)`` float32.

    Raises:
        BrokenEpisodeError: Another shape, or values that are not finite.
    """
    try:
        table = np.asarray(rows, np.float32)
    except (ValueError, TypeError) as error:
        raise BrokenEpisodeError("states unusable", f"{name} (not a table of numbers)") from error
    if table.ndim != 2 or table.shape[1] != 7:
        raise BrokenEpisodeError("states unusable", f"{name} (shape {table.shape}, need rows of 7)")
    if not np.isfinite(table).all():
        raise BrokenEpisodeError("states unusable", f"{name} (not finite from step {_first_bad(table)} on)")
    return table


def due_at_frames(actions: np.ndarray, poses: np.ndarray, stride: int) -> np.ndarray:
    """Commands ``(T, 7)`` at the frames of ``poses`` (T, 7).

    The command of control step n is due one control period later: frame j belongs to step ``stride * j - 1``.

    Raises:
        BrokenEpisodeError: There are fewer commands than frames need.
    """
    commands = np.concatenate([poses[:1], actions[stride - 1 :: stride]])[: len(poses)]
    if len(commands) < len(poses):
        raise BrokenEpisodeError("states unusable", f"{len(actions)} commands for {len(poses)} frames")
    return commands


def read_segmentation(path: Path, frames: int, views: int, size: tuple[int, int]) -> np.ndarray:
    """Class ids ``(frames, views, rows, columns)`` uint8 of a label file.

    Raises:
        BrokenEpisodeError: It is missing, damaged, or of another size.
    """
    try:
        with np.load(path, allow_pickle=False) as labels:
            segmentation = labels["segmentation"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise BrokenEpisodeError("labels damaged", f"{path} is missing or not a label file") from error
    if segmentation.shape[1:] != (views, *size) or len(segmentation) < frames:
        need = f"({frames}, {views}, {size[0]}, {size[1]})"
        raise BrokenEpisodeError("labels damaged", f"{path} has shape {segmentation.shape}, need {need}")
    return segmentation[:frames].astype(np.uint8)


def read_object_positions(path: Path) -> np.ndarray:
    """Positions ``(T, n, 3)`` of the objects of classes 1..n, metres; NaN where one is not on the table."""
    with np.load(path, allow_pickle=False) as labels:
        return labels["object_positions"]


def scaled(cameras: tuple[Camera, ...], original: tuple[int, int], size: tuple[int, int]) -> tuple[Camera, ...]:
    """The same cameras for images resized from ``original`` to ``size`` (rows, columns)."""
    down, across = size[0] / original[0], size[1] / original[1]
    scale = np.diag([across, down, 1.0])
    return tuple(
        Camera(c.name, tuple(map(tuple, (scale @ np.array(c.matrix)).tolist())), c.mount, c.transform) for c in cameras
    )


def _first_bad(table: np.ndarray) -> int:
    return int(np.argmin(np.isfinite(table).all(axis=1)))
