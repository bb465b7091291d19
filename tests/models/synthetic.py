"""Writes a tiny dataset in the recorder's layout: a coloured square follows the commanded pose."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np

from models.testing import random_bundle_config

CLASSES = ["background", "carrot", "pea", "bowl", "robot"]
HEIGHT, WIDTH = 96, 160


def write_dataset(root: Path, episodes: int = 3, frames: int = 12, seed: int = 0) -> Path:
    (root / "labels").mkdir(parents=True, exist_ok=True)
    (root / "labels" / "classes.json").write_text(json.dumps(CLASSES))
    for split in ("train", "val"):
        for index in range(episodes if split == "train" else 1):
            write_episode(root, split, str(index), frames, np.random.default_rng([seed, index, split == "val"]))
    return root


def write_episode(root: Path, split: str, name: str, frames: int, rng: np.random.Generator) -> Path:
    ticks = 3 * (frames - 1) + 1
    moves = np.cumsum(rng.normal(0, 0.01, (ticks, 3)), axis=0)
    poses = np.concatenate([moves + [0.5, 0.0, 0.35], np.tile([np.pi, 0.0, -0.8], (ticks, 1))], axis=1)
    commanded = np.concatenate([poses[1:], poses[-1:]])
    gripper = (np.arange(ticks) > ticks // 2).astype(float)
    images, classes = pictures(poses[::3])
    videos = []
    for view in range(3):
        path = Path("videos") / split / name / f"{view}.mp4"
        write_video(root / path, images)
        videos.append({"video_path": str(path)})
    labels = Path("labels") / split / f"{name}.npz"
    (root / labels).parent.mkdir(parents=True, exist_ok=True)
    positions = np.zeros((frames, 3, 3), np.float32)
    positions[:, 1] = 0.3
    half = np.stack([classes[:, ::2, ::2]] * 3, axis=1)
    np.savez_compressed(root / labels, segmentation=half, object_positions=positions)
    annotation = {
        "texts": ["put the carrot in the bowl"],
        "episode_id": int(name),
        "success": 1,
        "video_length": frames,
        "state_length": frames,
        "raw_length": ticks,
        "videos": videos,
        "states": np.concatenate([poses, gripper[:, None]], axis=1)[::3].tolist(),
        "observation.state.cartesian_position": poses.tolist(),
        "observation.state.gripper_position": gripper.tolist(),
        "action.cartesian_position": commanded.tolist(),
        "action.gripper_position": gripper.tolist(),
        "vidplan": {
            "source": "sim",
            "view_order": ["left", "right", "wrist"],
            "target": "carrot",
            "labels": str(labels),
            "cameras": cameras(),
        },
    }
    path = root / "annotation" / split / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(annotation))
    return path


def cameras() -> dict[str, dict]:
    doubled = np.diag([2.0, 2.0, 1.0])
    return {
        camera.name: {
            "K": (doubled @ np.array(camera.matrix)).tolist(),
            "size": [WIDTH, HEIGHT],
            f"T_{camera.mount}_camera": np.array(camera.transform).tolist(),
        }
        for camera in random_bundle_config().cameras
    }


def pictures(poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images = np.full((len(poses), HEIGHT, WIDTH, 3), 170, np.uint8)
    classes = np.zeros((len(poses), HEIGHT, WIDTH), np.uint8)
    for frame, pose in enumerate(poses):
        column = int(np.clip(80 + 200 * pose[1], 0, 140))
        images[frame, 40:60, column : column + 16] = (240, 110, 20)
        classes[frame, 40:60, column : column + 16] = 1
    return images, classes


def write_video(path: Path, images: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"crf": "10"})
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
