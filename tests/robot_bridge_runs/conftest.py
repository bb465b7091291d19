"""A small made-up episode of the DROID layout: a Panda that swings its base joint, seen by three cameras."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import franka
from robot_model.kinematics import ArmKinematics


def write_video(path: Path, frames: int, hue: int, size: tuple[int, int] = (80, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        noise = np.random.default_rng(hue)  # what real pictures have and what keeps a bag from shrinking to nothing
        for index in range(frames):
            picture = noise.integers(40, 80, (size[1], size[0], 3), np.uint8)
            picture[:, :, hue] += 90
            picture[10:20, 4 + 2 * index : 14 + 2 * index] = 230
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


@pytest.fixture(scope="session")
def make_episode() -> Callable[..., Path]:
    """``make_episode(root, frames=..., **changes)`` writes an episode and returns its annotation."""

    def make(root: Path, frames: int = 16, video_frames: int | None = None, **changes: Any) -> Path:
        swing = DROID_RESET_JOINTS + np.outer(np.sin(np.arange(3 * frames) / 20), [0.4, 0, 0, 0, 0, 0, 0])
        kinematics = ArmKinematics(franka("panda"))
        poses = np.array([kinematics.forward_pose(joints) for joints in swing])
        closing = np.linspace(0, 1, 3 * frames)
        for index in range(3):
            write_video(root / f"videos/val/7/{index}.mp4", video_frames or frames, index)
        data = {
            "texts": ["put the carrot in the bowl"],
            "episode_id": 7,
            "success": 1,
            "video_length": frames,
            "videos": [{"video_path": f"videos/val/7/{index}.mp4"} for index in range(3)],
            "states": np.column_stack([poses, closing])[::3].tolist(),
            "joints": np.column_stack([swing, closing])[::3].tolist(),
            "observation.state.joint_position": swing.tolist(),
            "observation.state.gripper_position": closing.tolist(),
            "action.cartesian_position": poses.tolist(),
        }
        data.update(changes)
        annotation = root / "annotation/val/7.json"
        annotation.parent.mkdir(parents=True, exist_ok=True)
        annotation.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))
        return annotation

    return make
