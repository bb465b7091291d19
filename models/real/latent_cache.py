"""The latents of a dataset in one file per split, read through a memory map: a dataset may be larger than memory.

Written once and added to: an episode's frames are appended first, then a line in the index that makes them part of it.
What an interrupted run left behind its last line is cut off by the next. Episodes that changed are read again; their
old rows stay where they are, unused. 23 kB per frame of three views, half of what the files of the dataset take.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import numpy as np
from tqdm import tqdm

from models.data import open_source
from models.episodes import BrokenEpisodeError, EpisodeSource, common_length, summarise
from models.errors import DatasetError
from models.real.latents import CHANNELS, COLUMNS, ROWS, VIEWS, read_latents

FRAME = (CHANNELS, ROWS, COLUMNS)
LATENT_BYTES, POSE_BYTES = 2 * CHANNELS * ROWS * COLUMNS, 4 * 7


@dataclass(frozen=True)
class CachedEpisode:
    """One line of the index.

    Attributes:
        name: What the episode is called in its dataset.
        stamp: Numbers that change when its annotation does.
        start: Its first row.
        length: Its frames.
        text: Instruction, empty when there is none.
        target: Object phrase where the recording says it, else empty.
        success: Whether the task was done at the end.
    """

    name: str
    stamp: list[int]
    start: int
    length: int
    text: str
    target: str
    success: bool


class CachedLatents:
    """All usable episodes of one split, on disk. `real.latents.LatentEpisodes` has them in memory.

    Attributes:
        split: ``train`` or ``val``.
        episodes: What can be used, in the order of the dataset.
        spans: First row and number of rows of each.
        poses: ``(N, 7)`` float32 observed poses, memory-mapped.
        latents: ``(N, 4, 72, 40)`` float16, memory-mapped.
        skipped: Episode -> why it cannot be used, as ``KIND: detail``.
    """

    def __init__(self, root: Path, split: str, shortest: int, cache: Path | None = None) -> None:
        """Open a split; reads what is not in the cache yet. Processes that open the same one wait for each other.

        Args:
            root: The dataset's folder.
            split: ``train`` or ``val``.
            shortest: Episodes with fewer frames are skipped.
            cache: Where it lies instead of ``ROOT/.cache``, e.g. when the data is not ours to write to.

        Raises:
            DatasetError: There is no such split, no usable episode in it, or the cache cannot be written.
        """
        self.split, self.skipped = split, dict[str, str]()
        folder = (cache or root / ".cache") / "latents" / split
        found = {episode.name: episode for episode in self._fill(open_source(root), folder)}
        for name, episode in found.items():
            if episode.length < shortest:
                self.skipped[name] = f"too short: {episode.length} frames, need {shortest}"
        self.episodes = [episode for name, episode in found.items() if name not in self.skipped]
        if not self.episodes:
            raise DatasetError(
                f"no usable episode with latents in split {split} of {root} ({summarise(0, self.skipped)})"
            )
        self.spans = [(episode.start, episode.length) for episode in self.episodes]
        rows = _end(list(found.values()))
        self.latents = np.memmap(folder / "latents.f16", np.float16, "r", shape=(rows, *FRAME))
        self.poses = np.memmap(folder / "poses.f32", np.float32, "r", shape=(rows, 7))

    def summary(self) -> str:
        """What can be used: one line with the reasons counted."""
        return f"{self.split}: {summarise(len(self.spans), self.skipped)}"

    def _fill(self, source: EpisodeSource, folder: Path) -> list[CachedEpisode]:
        """Append what is missing; returns the episodes of the dataset that are there now, in its order."""
        stamps = source.stamps(self.split)
        with _opened(folder) as (index, latents, poses):
            written = _cut_to_what_is_whole(index, latents, poses)
            known = {episode.name: episode for episode in written if episode.stamp == stamps.get(episode.name)}
            end, missing = _end(written), [name for name in stamps if name not in known]
            for name in tqdm(missing, f"latents of {self.split}", unit="episode", disable=not missing):
                try:
                    episode = source.read(self.split, name, VIEWS)
                    frames = read_latents(episode)
                    count = common_length({"states": len(episode.poses), "latents": len(frames)}, shortest=1)
                except BrokenEpisodeError as error:
                    self.skipped[name] = str(error)
                    continue
                latents.write(frames[:count].astype(np.float16).tobytes())
                poses.write(episode.poses[:count].astype(np.float32).tobytes())
                latents.flush()
                poses.flush()
                known[name] = CachedEpisode(
                    name, stamps[name], end, count, episode.text, episode.target, episode.success
                )
                index.write(json.dumps(asdict(known[name])).encode() + b"\n")
                index.flush()
                end += count
        return [known[name] for name in stamps if name in known]


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[IO[bytes], IO[bytes], IO[bytes]]]:
    """Index, latents and poses of a split, for this process alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            open(folder / "index.jsonl", "a+b") as index,
            open(folder / "latents.f16", "ab") as latents,
            open(folder / "poses.f32", "ab") as poses,
        ):
            fcntl.flock(index, fcntl.LOCK_EX)
            yield index, latents, poses
    except OSError as error:
        raise DatasetError(
            f"the cache of latents in {folder} cannot be written: {error}; choose --cache DIR"
        ) from error


def _cut_to_what_is_whole(index: IO[bytes], latents: IO[bytes], poses: IO[bytes]) -> list[CachedEpisode]:
    """The lines of the index whose rows are there; what comes behind them in the files is cut off."""
    index.seek(0)
    rows = min(latents.seek(0, 2) // LATENT_BYTES, poses.seek(0, 2) // POSE_BYTES)
    written: list[CachedEpisode] = []
    kept = 0
    for line in index:
        try:
            episode = CachedEpisode(**json.loads(line))
        except (ValueError, TypeError):
            break
        if not line.endswith(b"\n") or episode.start + episode.length > rows:
            break
        written.append(episode)
        kept += len(line)
    index.truncate(kept)
    latents.truncate(_end(written) * LATENT_BYTES)
    poses.truncate(_end(written) * POSE_BYTES)
    return written


def _end(episodes: list[CachedEpisode]) -> int:
    """The row behind the last one."""
    return max((episode.start + episode.length for episode in episodes), default=0)
