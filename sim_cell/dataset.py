"""Writes recorded episodes in the layout of the DROID episodes that Ctrl-World publishes, plus true labels.

An episode exists once its annotation does: everything else is written before it, and the annotation is renamed into
place last, so that an interrupted recording leaves nothing half-written behind.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np

from robot_model.ros_names import CAMERAS
from sim_cell.cameras import Calibration
from sim_cell.episode import Episode
from sim_cell.errors import DatasetMismatchError
from sim_cell.hand import TICKS_PER_FRAME
from sim_cell.objects import CLASSES
from sim_cell.recipe import Recipe

VIDEO_RATE = 5
VIDEO_OPTIONS = {"crf": "14", "preset": "fast", "g": "10", "bf": "0"}  # near lossless: a pea is a few pixels
VALIDATION_EVERY = 10
DECIMALS = 9  # of numbers in annotations: far below what any consumer resolves


class Dataset:
    """The episodes of one recording (one seed, one look, one recipe, one picture size) below ``root``.

    Every tenth episode goes to the split ``val``; all of them do with ``held_out``.
    """

    def __init__(
        self,
        root: Path,
        seed: int,
        width: int,
        height: int,
        look: str = "plain",
        held_out: bool = False,
        recipe: Recipe | None = None,
    ) -> None:
        self.root, self.seed, self.size, self.look, self.held_out = root, seed, [width, height], look, held_out
        self.recipe = recipe or Recipe()

    def prepare(self) -> None:
        """Create the folder and the list of classes.

        Raises:
            DatasetMismatchError: The folder's classes are not those of this program.
        """
        path = self.root / "labels" / "classes.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and json.loads(path.read_text()) != list(CLASSES):
            raise DatasetMismatchError(f"{path} lists other objects than this program knows. Record to another folder.")
        _write_atomically(path, json.dumps(list(CLASSES)))

    def has(self, index: int) -> bool:
        """Whether episode ``index`` is there, complete and of this recording.

        Raises:
            DatasetMismatchError: It is there, but of another recording.
        """
        path = self._annotation(index)
        try:
            annotation = json.loads(path.read_text())
            recorded = annotation["vidplan"]
            found = recorded["seed"], recorded.get("look", "plain"), recorded["cameras"][CAMERAS[0]]["size"]
            recipe = recorded.get("recipe")
        except (OSError, ValueError, KeyError, TypeError):
            return False
        if found != (self.seed, self.look, self.size):
            raise DatasetMismatchError(
                f"{path} was recorded with seed {found[0]}, look {found[1]} and size {found[2]}, not seed {self.seed}, "
                f"look {self.look} and size {self.size}. Record to another folder, or with the same settings."
            )
        if recipe != self.recipe.describe().get("recipe"):
            raise DatasetMismatchError(
                f"{path} was recorded with other objects, clutter or behaviour: {recipe or 'the defaults'}. Record to "
                "another folder, or with the same settings."
            )
        files = [self.root / video["video_path"] for video in annotation["videos"]] + [self.root / recorded["labels"]]
        return all(file.is_file() and file.stat().st_size > 0 for file in files)

    def write(self, index: int, episode: Episode) -> None:
        """Write episode ``index``; what an interrupted recording left of it is replaced."""
        split = self._split(index)
        videos = self.root / "videos" / split / str(index)
        labels = self.root / "labels" / split / f"{index}.npz"
        shutil.rmtree(videos, ignore_errors=True)
        videos.mkdir(parents=True)
        labels.parent.mkdir(parents=True, exist_ok=True)
        for view in range(len(CAMERAS)):
            write_video(videos / f"{view}.mp4", episode.images[:, view])
        partial = labels.with_suffix(".partial.npz")
        np.savez_compressed(partial, segmentation=episode.classes, object_positions=episode.object_positions)
        os.replace(partial, labels)
        annotation = self._annotation(index)
        annotation.parent.mkdir(parents=True, exist_ok=True)
        _write_atomically(annotation, json.dumps(self._describe(index, episode)))

    def _split(self, index: int) -> str:
        return "val" if self.held_out or index % VALIDATION_EVERY == VALIDATION_EVERY - 1 else "train"

    def _annotation(self, index: int) -> Path:
        return self.root / "annotation" / self._split(index) / f"{index}.json"

    def _describe(self, index: int, episode: Episode) -> dict[str, Any]:
        split, frames = self._split(index), len(episode.images)
        at_frames = slice(None, None, TICKS_PER_FRAME)
        opening = episode.gripper[:, None]
        return {
            "texts": [f"put the {episode.target} in the bowl"],
            "episode_id": index,
            "success": int(episode.success),
            "video_length": frames,
            "state_length": frames,
            "raw_length": len(episode.joints),
            "videos": [{"video_path": f"videos/{split}/{index}/{view}.mp4"} for view in range(len(CAMERAS))],
            "states": _numbers(np.hstack([episode.poses, opening])[at_frames]),
            "joints": _numbers(np.hstack([episode.joints, opening])[at_frames]),
            "observation.state.cartesian_position": _numbers(episode.poses),
            "observation.state.joint_position": _numbers(episode.joints),
            "observation.state.gripper_position": _numbers(episode.gripper),
            "action.cartesian_position": _numbers(episode.commanded_poses),
            "action.joint_position": _numbers(episode.commanded_joints),
            "action.gripper_position": _numbers(episode.commanded_gripper),
            "action.joint_velocity": _numbers(episode.commanded_velocities),
            "vidplan": {
                "source": "sim",
                "seed": self.seed,
                "look": self.look,
                "robot": "panda",
                "view_order": list(CAMERAS),
                "target": episode.target,
                "behaviour": episode.behaviour,
                **self.recipe.describe(),
                "cameras": {name: _describe_camera(episode.calibrations[name]) for name in CAMERAS},
                "labels": f"labels/{split}/{index}.npz",
            },
        }


def write_video(path: Path, frames: np.ndarray) -> None:
    """Encode ``(T, h, w, 3)`` uint8 RGB frames as h264 at 5 Hz; h and w must be even."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=VIDEO_RATE, options=VIDEO_OPTIONS)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the workers are the parallelism; and the result stays the same
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _describe_camera(calibration: Calibration) -> dict[str, Any]:
    pose = "T_base_camera" if calibration.parent == "base" else "T_flange_camera"
    return {"K": _numbers(calibration.K), "size": list(calibration.size), pose: _numbers(calibration.pose)}


def _numbers(values: np.ndarray) -> list:
    return np.round(values, DECIMALS).tolist()


def _write_atomically(path: Path, text: str) -> None:
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(text)
    os.replace(partial, path)
