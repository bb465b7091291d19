"""Episodes in the layout Ctrl-World publishes DROID in, and `vidplan sim record` writes.

``ROOT/annotation/SPLIT/ID.json`` with videos, labels and latents named relative to ROOT. Recordings of the simulated
cell carry a ``vidplan`` key with cameras, target and labels; real DROID episodes do not. Robot states are at 15 Hz
(``observation.state.*``), or at the video's 5 Hz (``states``) where an episode has no others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from models.cameras import Camera
from models.episodes import BrokenEpisodeError, Episode, checked_rows, due_at_frames, pose_rows, stamp
from models.errors import DatasetError
from models.video_files import Video

STATES_PER_FRAME = 3
"""15 Hz robot states per 5 Hz video frame."""
DEFAULT_VIEWS = ("left", "right", "wrist")
"""Order of the videos of an episode that does not say: exterior 1, exterior 2, wrist."""


class DroidFolder:
    """See `episodes.EpisodeSource`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def stamps(self, split: str) -> dict[str, list[int]]:
        """See `episodes.EpisodeSource.stamps`."""
        folder = self.root / "annotation" / split
        if not folder.is_dir():
            raise DatasetError(
                f"{folder} does not exist: give a folder of DROID or LeRobot episodes (docs/real-footage.md), "
                f"or record one with `vidplan sim record --out {self.root}`"
            )
        return {path.stem: stamp(path) for path in sorted(folder.glob("*.json"), key=_natural)}

    def read(self, split: str, name: str, views: tuple[str, ...]) -> Episode:
        """See `episodes.EpisodeSource.read`."""
        try:
            values = json.loads((self.root / "annotation" / split / f"{name}.json").read_text())
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise BrokenEpisodeError("annotation unreadable", "not a JSON file") from error
        try:
            return self._episode(name, values, views)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise BrokenEpisodeError("annotation incomplete", f"it lacks or garbles {error}") from error

    def _episode(self, name: str, values: dict[str, Any], views: tuple[str, ...]) -> Episode:
        recorded = values.get("vidplan") or {}
        order = tuple(recorded.get("view_order", DEFAULT_VIEWS))
        videos = self._paths(values["videos"], "video_path", order, views)
        latents = values.get("latent_videos")
        poses = _poses_at_frames(values)
        cameras = _cameras(recorded["cameras"], views) if "cameras" in recorded else None
        size = recorded["cameras"][views[0]]["size"] if cameras else None
        texts = [text for text in values.get("texts", []) if isinstance(text, str)]
        return Episode(
            name=name,
            text=texts[0] if texts else "",
            target=str(recorded.get("target", "")),
            success=bool(values.get("success", 0)),
            poses=poses,
            commands=_commands_at_frames(values, poses),
            videos=tuple(Video(path) for path in videos),
            labels=self.root / recorded["labels"] if recorded.get("labels") else None,
            cameras=cameras,
            video_size=(size[1], size[0]) if size else None,
            latents=self._paths(latents, "latent_video_path", order, views) if latents else None,
        )

    def _paths(
        self, entries: list[dict[str, str]], key: str, order: tuple[str, ...], views: tuple[str, ...]
    ) -> tuple[Path, ...]:
        if len(entries) < len(order) or not set(views) <= set(order):
            raise ValueError(f"the views: it has {len(entries)} named {order}, need {views}")
        return tuple(self.root / entries[order.index(view)][key] for view in views)


def _poses_at_frames(values: dict[str, Any]) -> np.ndarray:
    if "observation.state.cartesian_position" not in values:
        return checked_rows(values["states"], "states")
    states = pose_rows(
        values["observation.state.cartesian_position"], values["observation.state.gripper_position"], "the states"
    )
    return states[::STATES_PER_FRAME]


def _commands_at_frames(values: dict[str, Any], poses: np.ndarray) -> np.ndarray:
    if "action.cartesian_position" not in values:
        return poses
    actions = pose_rows(values["action.cartesian_position"], values["action.gripper_position"], "the actions")
    return due_at_frames(actions, poses, STATES_PER_FRAME)


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


def _natural(path: Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdigit() else -1, path.stem)
