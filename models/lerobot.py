"""Episodes of DROID in LeRobot's layouts.

v2.0 and v2.1 have a parquet file and three videos per episode; in v3.0 several episodes share them, and
``meta/episodes`` says which rows and seconds are whose. Column names are those of the DROID datasets published by
LeRobot. Their 15 Hz videos are read at 5 Hz. LeRobot knows one split only, so every tenth episode is ``val`` unless
``meta/info.json`` names a ``val`` split.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from models.episodes import FRAME_RATE, BrokenEpisodeError, Episode, due_at_frames, pose_rows, stamp
from models.errors import DatasetError
from models.video_files import Video

VIEW_KEYS = {
    "left": ("observation.images.exterior_1_left", "observation.images.exterior_image_1_left"),
    "right": ("observation.images.exterior_2_left", "observation.images.exterior_image_2_left"),
    "wrist": ("observation.images.wrist_left", "observation.images.wrist_image_left"),
}
"""Our view -> what LeRobot's DROID datasets call it, today and earlier."""
STATE = ("observation.state.cartesian_position", "observation.state.gripper_position")
ACTION = ("action.cartesian_position", "action.gripper_position")
SUCCESS = "is_episode_successful"
HELD_OUT_EVERY = 10


class LeRobotFolder:
    """See `episodes.EpisodeSource`.

    Raises:
        DatasetError: ``meta`` is missing or damaged, or says what this reader cannot read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.info = self._info()
        rate = self.info["fps"]
        if not isinstance(rate, (int, float)) or rate < FRAME_RATE or rate % FRAME_RATE:
            raise DatasetError(f"{root}: its rate is {rate} Hz; need a multiple of {FRAME_RATE} Hz")
        self.stride = int(rate // FRAME_RATE)
        self.shared_files = str(self.info["codebase_version"]).startswith("v3")

    def stamps(self, split: str) -> dict[str, list[int]]:
        """See `episodes.EpisodeSource.stamps`."""
        chosen = [index for index in self._episodes if self._belongs(index, split)]
        try:
            return {f"episode_{index:06d}": stamp(self._data_file(index)) for index in chosen}
        except (KeyError, ValueError, TypeError) as error:
            raise DatasetError(f"{self.root / 'meta'}: it does not say where the episodes are: {error}") from error

    def read(self, split: str, name: str, views: tuple[str, ...]) -> Episode:
        """See `episodes.EpisodeSource.read`."""
        index = int(name.removeprefix("episode_"))
        try:
            videos = tuple(self._video(index, self._view_key(view)) for view in views)
            tasks = self._episodes[index].get("tasks") or [""]
        except (KeyError, ValueError, TypeError) as error:
            raise BrokenEpisodeError("annotation incomplete", f"meta lacks or garbles {error}") from error
        columns = self._columns(index)
        poses = pose_rows(columns[STATE[0]], columns[STATE[1]], "the states")[:: self.stride]
        commands = poses
        if set(ACTION) <= set(columns):
            actions = pose_rows(columns[ACTION[0]], columns[ACTION[1]], "the actions")
            commands = due_at_frames(actions, poses, self.stride)
        success = columns.get(SUCCESS)
        return Episode(
            name=name,
            text=str(tasks[0]),
            target="",
            success=bool(success and np.all(success[-1])),
            poses=poses,
            commands=commands,
            videos=videos,
        )

    def _info(self) -> dict[str, Any]:
        file = self.root / "meta" / "info.json"
        try:
            info = json.loads(file.read_text())
            version = str(info["codebase_version"])
            info["fps"], info["data_path"], info["video_path"], info["features"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{file} is not the description of a LeRobot dataset: {error}") from error
        if not version.startswith(("v2", "v3")):
            raise DatasetError(f"{file} has codebase_version {version}; v2.0, v2.1 and v3.0 can be read")
        return info

    @cached_property
    def _episodes(self) -> dict[int, dict[str, Any]]:
        """What ``meta`` says of each episode, by its index, in order."""
        try:
            rows = self._shared_rows() if self.shared_files else self._listed_rows()
            return dict(sorted((int(row["episode_index"]), row) for row in rows))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DatasetError(f"{self.root / 'meta'}: the list of episodes is damaged: {error}") from error

    def _listed_rows(self) -> list[dict[str, Any]]:
        lines = (self.root / "meta" / "episodes.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def _shared_rows(self) -> list[dict[str, Any]]:
        import pyarrow.parquet as parquet

        rows: list[dict[str, Any]] = []
        for file in sorted((self.root / "meta" / "episodes").glob("*/*.parquet")):
            wanted = [n for n in parquet.read_schema(file).names if not n.startswith("stats/")]  # most of the file
            rows += parquet.read_table(file, columns=wanted).to_pylist()
        return rows

    def _belongs(self, index: int, split: str) -> bool:
        ranges = self.info.get("splits") or {}
        try:
            if "val" in ranges:
                first, end = (int(bound) for bound in ranges[split].split(":"))
                return first <= index < end
        except (KeyError, ValueError, AttributeError) as error:
            raise DatasetError(f"{self.root}: meta/info.json has no usable split {split!r}: {ranges}") from error
        return (index % HELD_OUT_EVERY == 0) == (split == "val")

    def _data_file(self, index: int) -> Path:
        return self.root / self.info["data_path"].format(**self._where(index, "data"))

    def _where(self, index: int, prefix: str) -> dict[str, int]:
        """What the path templates of ``info.json`` ask for."""
        if not self.shared_files:
            return {"episode_chunk": index // int(self.info.get("chunks_size", 1000)), "episode_index": index}
        row = self._episodes[index]
        return {"chunk_index": int(row[f"{prefix}/chunk_index"]), "file_index": int(row[f"{prefix}/file_index"])}

    def _view_key(self, view: str) -> str:
        features = self.info["features"]
        for key in VIEW_KEYS[view]:
            if features.get(key, {}).get("dtype") == "video":
                return key
        raise ValueError(f"the {view} view: no video named {' or '.join(VIEW_KEYS[view])}")

    def _video(self, index: int, key: str) -> Video:
        path = self.root / self.info["video_path"].format(video_key=key, **self._where(index, f"videos/{key}"))
        if not self.shared_files:
            return Video(path, self.stride)
        row = self._episodes[index]
        return Video(path, self.stride, float(row[f"videos/{key}/from_timestamp"]), int(row["length"]))

    def _columns(self, index: int) -> dict[str, list]:
        import pyarrow.parquet as parquet

        file = self._data_file(index)
        try:
            names = set(parquet.read_schema(file).names)
            if not set(STATE) <= names:
                lacking = ", ".join(sorted(set(STATE) - names))
                raise BrokenEpisodeError("annotation incomplete", f"{file} lacks {lacking}")
            wanted = [name for name in (*STATE, *ACTION, SUCCESS) if name in names]
            whose = [("episode_index", "==", index)] if self.shared_files else None
            return parquet.read_table(file, columns=wanted, filters=whose).to_pydict()
        except (OSError, ValueError, KeyError) as error:
            raise BrokenEpisodeError("annotation unreadable", f"{file} is missing or not a parquet file") from error
