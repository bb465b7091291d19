"""Reads datasets of episodes: pixels and labels as memory maps, poses and outcomes as arrays.

Simulated recordings, DROID as Ctrl-World publishes it and DROID in LeRobot's layout all load through `Dataset`. Videos
are decoded once into a cache beside the data (``ROOT/.cache``), which only ever grows: episodes that were added since
the last time are appended. Episodes that cannot be used are skipped, counted and named with the reason.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from models.cameras import Camera
from models.droid_folder import DroidFolder
from models.episodes import (
    BrokenEpisodeError,
    Episode,
    EpisodeSource,
    common_length,
    read_segmentation,
    scaled,
    summarise,
)
from models.errors import DatasetError
from models.lerobot import LeRobotFolder

CACHE_FORMAT = 1


@dataclass(frozen=True)
class Cached:
    """An episode and where its frames lie in the cache: rows ``start`` .. ``start + length``."""

    episode: Episode
    start: int
    length: int


def open_source(root: Path) -> EpisodeSource:
    """The reader of what lies in a folder: LeRobot's layout where there is ``meta/info.json``, else DROID's."""
    return LeRobotFolder(root) if (root / "meta" / "info.json").is_file() else DroidFolder(root)


class Dataset:
    """All usable episodes of one split.

    Attributes:
        root: The dataset's folder.
        split: ``train`` or ``val``.
        image_size: (rows, columns) of one view.
        views: Views in order.
        episodes: What can be used, in the order of the dataset.
        skipped: Episode -> why it cannot be used, as ``KIND: detail``.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        *,
        image_size: tuple[int, int] = (48, 80),
        views: tuple[str, ...] = ("left", "right", "wrist"),
        shortest: int = 7,
        progress: bool = True,
        cache: Path | None = None,
    ) -> None:
        """Open a split; decodes what is not in the cache yet.

        Args:
            root: The dataset's folder.
            split: ``train`` or ``val``.
            image_size: (rows, columns) of one view.
            views: Views wanted, in this order.
            shortest: Episodes with fewer frames are skipped.
            progress: Show a progress bar while decoding.
            cache: Where decoded frames go instead of ``ROOT/.cache``, e.g. when the data is not ours to write to.

        Raises:
            DatasetError: There is no such split, or no usable episode in it.
        """
        self.root, self.split, self.image_size, self.views = Path(root), split, image_size, views
        self.shortest = shortest
        self.skipped: dict[str, str] = {}
        source = open_source(self.root)
        stamps = source.stamps(split)
        place = f"{image_size[0]}x{image_size[1]}-{'-'.join(views)}"
        self._cache = (cache or self.root / ".cache") / place / split
        self.episodes = self._read(source, stamps, progress)
        if not self.episodes:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in list(self.skipped.items())[:3]) or "it is empty"
            raise DatasetError(f"no usable episode in split {split} of {root} ({reasons})")

    def __len__(self) -> int:
        """Frames over all episodes."""
        last = max(self.episodes, key=lambda cached: cached.start)
        return last.start + last.length

    def summary(self, details: bool = False) -> str:
        """What was read: one line with the reasons counted, and with ``details`` one more per skipped episode."""
        lines = [f"{self.split}: {summarise(len(self.episodes), self.skipped)}"]
        if details:
            lines += [f"  {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)

    @cached_property
    def frames(self) -> np.ndarray:
        """``(N, V, rows, columns, 3)`` uint8 RGB, memory-mapped; rows belong to episodes by `Cached.start`."""
        return self._map("frames.u8", (*self.image_size, 3))

    @cached_property
    def segmentation(self) -> np.ndarray:
        """``(N, V, rows, columns)`` uint8 class ids, memory-mapped; zero where an episode has no labels."""
        return self._map("segmentation.u8", self.image_size)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the segmentation classes by id; empty when the data has no labels."""
        file = self.root / "labels" / "classes.json"
        return tuple(json.loads(file.read_text())) if file.is_file() else ()

    @cached_property
    def cameras(self) -> tuple[Camera, ...] | None:
        """The cameras at `image_size`, None for uncalibrated data.

        Raises:
            DatasetError: The episodes do not agree on their cameras.
        """
        calibrated = [
            cached.episode for cached in self.episodes if cached.episode.cameras and cached.episode.video_size
        ]
        if not calibrated:
            return None
        first = calibrated[0]
        for episode in calibrated:
            if not _same(episode.cameras, first.cameras) or episode.video_size != first.video_size:
                raise DatasetError(f"{self.root}: episodes {first.name} and {episode.name} have different cameras")
        assert first.cameras is not None
        assert first.video_size is not None
        return scaled(first.cameras, first.video_size, self.image_size)

    def clips(self, before: int, after: int) -> np.ndarray:
        """Rows that have at least ``before`` earlier and ``after`` later frames in their own episode."""
        return np.concatenate(
            [
                np.arange(c.start + before, c.start + c.length - after)
                for c in self.episodes
                if c.length > before + after
            ]
        )

    def per_frame(self, name: str) -> np.ndarray:
        """``poses`` or ``commands`` of every row, ``(N, 7)`` float32."""
        table = np.zeros((len(self), 7), np.float32)
        for cached in self.episodes:
            table[cached.start : cached.start + cached.length] = getattr(cached.episode, name)[: cached.length]
        return table

    def _map(self, name: str, tail: tuple[int, ...]) -> np.ndarray:
        return np.memmap(self._cache / name, np.uint8, "r", shape=(len(self), len(self.views), *tail))

    def _read(self, source: EpisodeSource, stamps: dict[str, list[int]], progress: bool) -> list[Cached]:
        index = self._open_index(stamps)
        cached: list[Cached] = []
        new: list[Episode] = []
        for name in stamps:
            try:
                episode = source.read(self.split, name, self.views)
            except BrokenEpisodeError as error:
                self.skipped[name] = str(error)
                continue
            if name in index and index[name]["length"] < self.shortest:
                self.skipped[name] = f"too short: {index[name]['length']} frames, need {self.shortest}"
            elif name in index:
                cached.append(Cached(episode, index[name]["start"], index[name]["length"]))
            else:
                new.append(episode)
        return cached + (self._append(new, index, stamps, progress) if new else [])

    def _append(
        self, new: list[Episode], index: dict[str, dict], stamps: dict[str, list[int]], progress: bool
    ) -> list[Cached]:
        """Decode episodes behind what is cached, and write the index that makes them part of it."""
        appended: list[Cached] = []
        total = sum(entry["length"] for entry in index.values())
        self._cache.mkdir(parents=True, exist_ok=True)
        with open(self._cache / "frames.u8", "ab") as pixels, open(self._cache / "segmentation.u8", "ab") as classes:
            per_frame = len(self.views) * self.image_size[0] * self.image_size[1]
            pixels.truncate(total * per_frame * 3)  # what an interrupted run left behind its index
            classes.truncate(total * per_frame)
            for episode in tqdm(new, f"decode {self.split}", unit="episode", disable=not progress):
                try:
                    frames, segmentation = self._decode(episode)
                except BrokenEpisodeError as error:
                    self.skipped[episode.name] = str(error)
                    continue
                pixels.write(frames.tobytes())
                classes.write(segmentation.tobytes())
                index[episode.name] = {"start": total, "length": len(frames), "stamp": stamps[episode.name]}
                appended.append(Cached(episode, total, len(frames)))
                total += len(frames)
        partial = self._cache / "index.partial"
        partial.write_text(json.dumps({"format": CACHE_FORMAT, "episodes": index}))
        partial.replace(self._cache / "index.json")
        return appended

    def _decode(self, episode: Episode) -> tuple[np.ndarray, np.ndarray]:
        videos = [video.decode(self.image_size) for video in episode.videos]
        lengths = {view: len(video) for view, video in zip(self.views, videos, strict=True)}
        count = common_length({"states": len(episode.poses), **lengths}, self.shortest)
        frames = np.stack([video[:count] for video in videos], axis=1)
        if episode.labels is None:
            return frames, np.zeros(frames.shape[:-1], np.uint8)
        return frames, read_segmentation(episode.labels, count, len(self.views), self.image_size)

    def _open_index(self, stamps: dict[str, list[int]]) -> dict[str, dict]:
        """What is cached; everything is dropped when an episode changed or vanished since."""
        try:
            stored = json.loads((self._cache / "index.json").read_text())
            if stored["format"] == CACHE_FORMAT and all(
                stamps.get(name) == entry["stamp"] for name, entry in stored["episodes"].items()
            ):
                return stored["episodes"]
        except (OSError, ValueError, KeyError):
            pass
        shutil.rmtree(self._cache, ignore_errors=True)
        return {}


def _same(first: tuple[Camera, ...] | None, second: tuple[Camera, ...] | None) -> bool:
    if first is None or second is None:
        return first is second
    return all(
        a.mount == b.mount and np.allclose(a.matrix, b.matrix) and np.allclose(a.transform, b.transform, atol=1e-5)
        for a, b in zip(first, second, strict=True)
    )
