"""Writes DROID in LeRobot's layouts: the grey level of every frame says which episode, view and step it is."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

VIEWS = tuple(f"observation.images.{name}" for name in ("exterior_1_left", "exterior_2_left", "wrist_left"))
STEPS = 31
"""15 Hz steps of an episode, 11 frames at 5 Hz."""


def grey(episode: int, view: int, step: int) -> int:
    return 20 + 40 * view + 5 * episode + 3 * step


def steps_of(episode: int) -> dict[str, list]:
    rng = np.random.default_rng(episode)
    poses = np.cumsum(rng.normal(0, 0.01, (STEPS, 6)), axis=0) + [0.5, 0, 0.3, 3.0, 0, 0]
    commands = np.concatenate([poses[1:], poses[-1:]])  # the arm is where it was told to be, one step later
    gripper = np.linspace(0, 1, STEPS)
    return {
        "observation.state.cartesian_position": poses.tolist(),
        "observation.state.gripper_position": gripper.tolist(),
        "action.cartesian_position": commands.tolist(),
        "action.gripper_position": [[value] for value in np.append(gripper[1:], 1.0)],
        "is_episode_successful": [episode % 2 == 1] * STEPS,
        "episode_index": [episode] * STEPS,
        "frame_index": list(range(STEPS)),
        "task_index": [episode] * STEPS,
    }


def write_video(path: Path, levels: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15, options={"crf": "10", "g": "12"})
        stream.height, stream.width, stream.pix_fmt = 90, 160, "yuv420p"
        for level in levels:
            image = np.full((90, 160, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def write_info(root: Path, version: str, data: str, video: str, **more: object) -> None:
    info = {
        "codebase_version": version,
        "robot_type": "Franka",
        "fps": 15,
        "chunks_size": 1000,
        "splits": {"train": "0:12"},
        "data_path": data,
        "video_path": video,
        "features": {key: {"dtype": "video", "shape": [90, 160, 3]} for key in VIEWS},
        **more,
    }
    (root / "meta").mkdir(parents=True, exist_ok=True)
    (root / "meta" / "info.json").write_text(json.dumps(info))


def write_v21(root: Path, episodes: int, **info: object) -> Path:
    write_info(
        root,
        "v2.1",
        "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        **info,
    )
    lines = [
        json.dumps({"episode_index": i, "tasks": [f"move number {i}"], "length": STEPS}) + "\n" for i in range(episodes)
    ]
    (root / "meta" / "episodes.jsonl").write_text("".join(lines))
    for episode in range(episodes):
        for view, key in enumerate(VIEWS):
            path = root / f"videos/chunk-000/{key}/episode_{episode:06d}.mp4"
            write_video(path, [grey(episode, view, step) for step in range(STEPS)])
        path = root / f"data/chunk-000/episode_{episode:06d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table(steps_of(episode)), path)
    return root


def write_v30(root: Path, episodes: int, **info: object) -> Path:
    """All episodes in one parquet file and one video per view."""
    write_info(
        root,
        "v3.0",
        "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        **info,
    )
    rows = []
    for episode in range(episodes):
        row = {
            "episode_index": episode,
            "tasks": [f"move number {episode}"],
            "length": STEPS,
            "data/chunk_index": 0,
            "data/file_index": 0,
            "stats/action/mean": [0.0] * 7,
        }
        for key in VIEWS:
            row |= {f"videos/{key}/chunk_index": 0, f"videos/{key}/file_index": 0}
            row |= {f"videos/{key}/from_timestamp": episode * STEPS / 15}
        rows.append(row)
    places = [root / "meta/episodes/chunk-000/file-000.parquet", root / "data/chunk-000/file-000.parquet"]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows), places[0])
    parquet.write_table(pa.concat_tables([pa.table(steps_of(episode)) for episode in range(episodes)]), places[1])
    for view, key in enumerate(VIEWS):
        levels = [grey(episode, view, step) for episode in range(episodes) for step in range(STEPS)]
        write_video(root / f"videos/{key}/chunk-000/file-000.mp4", levels)
    return root
