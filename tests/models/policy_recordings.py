"""A tiny recording in which joint 1 turns to the side on which the picture shows a square."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from synthetic import CLASSES, HEIGHT, WIDTH, cameras, write_video

from robot_model.conventions import DROID_RESET_JOINTS

FRAMES = 8
TICKS = 3 * (FRAMES - 1) + 1


def write_demonstrations(root: Path) -> Path:
    """Eight demonstrations, four episodes that are none, and four held-out demonstrations."""
    (root / "labels").mkdir(parents=True)
    (root / "labels" / "classes.json").write_text(json.dumps([*CLASSES[:3], "fish", "cup", "bowl", "robot"]))
    for index in range(8):
        write(root, "train", str(index), side=(-1) ** index)
    for index in range(4):
        write(root, "val", str(index), side=(-1) ** index)
    write(root, "train", "failed", success=0)
    write(root, "train", "chunks", behaviour="chunks")
    write(root, "train", "pea", target="pea")
    write(root, "train", "cluttered", objects=4)
    return root


def write(
    root: Path,
    split: str,
    name: str,
    side: int = 1,
    success: int = 1,
    behaviour: str = "pick",
    target: str = "carrot",
    objects: int = 2,
) -> None:
    images = np.full((FRAMES, HEIGHT, WIDTH, 3), 170, np.uint8)
    column = WIDTH // 2 + side * WIDTH // 4
    images[:, 30:60, column - 15 : column + 15] = (240, 110, 20)
    videos = []
    for view in range(3):
        video = Path("videos") / split / name / f"{view}.mp4"
        write_video(root / video, images)
        videos.append({"video_path": str(video)})
    positions = np.full((FRAMES, 5, 3), np.nan, np.float32)
    positions[:, [*range(objects), 4]] = 0.3
    labels = Path("labels") / split / f"{name}.npz"
    (root / labels).parent.mkdir(parents=True, exist_ok=True)
    segmentation = np.zeros((FRAMES, 3, HEIGHT // 2, WIDTH // 2), np.uint8)
    segmentation[:, :, 15:30, (column - 15) // 2 : (column + 15) // 2] = CLASSES.index("carrot")
    np.savez_compressed(root / labels, segmentation=segmentation, object_positions=positions)
    velocities = np.zeros((TICKS, 7))
    velocities[:, 0] = 0.5 * side
    joints = DROID_RESET_JOINTS + np.random.default_rng(TICKS).normal(0, 0.01, (TICKS, 7))
    gripper = (side > 0) * np.ones(TICKS)
    poses = np.tile([0.5, 0.0, 0.35, np.pi, 0.0, 0.0], (TICKS, 1))
    annotation = {
        "texts": [f"put the {target} in the bowl"],
        "success": success,
        "video_length": FRAMES,
        "videos": videos,
        "observation.state.cartesian_position": poses.tolist(),
        "observation.state.joint_position": joints.tolist(),
        "observation.state.gripper_position": np.zeros(TICKS).tolist(),
        "action.cartesian_position": poses.tolist(),
        "action.gripper_position": gripper.tolist(),
        "action.joint_velocity": velocities.tolist(),
        "vidplan": {
            "view_order": ["left", "right", "wrist"],
            "target": target,
            "behaviour": behaviour,
            "labels": str(labels),
            "cameras": cameras(),
        },
    }
    path = root / "annotation" / split / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(annotation))
