"""Frames of the mp4 files that datasets are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.episodes import BrokenEpisodeError


@dataclass(frozen=True)
class Video:
    """One view of an episode: a whole file, or a piece of one that several episodes share.

    Attributes:
        path: The file.
        stride: Every how many frames of the file one is wanted (3: 15 Hz to 5 Hz).
        start: Where the episode begins in the file, seconds.
        length: Frames of the file, before striding, that belong to the episode; None: all to the end.
    """

    path: Path
    stride: int = 1
    start: float = 0.0
    length: int | None = None

    def decode(self, size: tuple[int, int]) -> np.ndarray:
        """Frames ``(T, rows, columns, 3)`` uint8 RGB, area-averaged to ``size`` (rows, columns).

        Raises:
            BrokenEpisodeError: The file is missing, damaged, or holds no frame here.
        """
        import av
        import cv2
        from av.video.reformatter import VideoReformatter

        if not self.path.is_file():
            raise BrokenEpisodeError("video missing", str(self.path))
        convert = VideoReformatter()  # one for all frames: each new one costs 5 ms
        try:
            with av.open(str(self.path)) as container:
                frames = [
                    cv2.resize(
                        convert.reformat(frame, format="rgb24").to_ndarray(),
                        size[::-1],
                        interpolation=cv2.INTER_AREA,
                    )
                    for frame in self._wanted(container)
                ]
        except (av.FFmpegError, OSError, IndexError, ValueError) as error:
            raise BrokenEpisodeError("video damaged", f"{self.path} ({_first_words(error)})") from error
        if not frames:
            raise BrokenEpisodeError("video damaged", f"{self.path} holds no frame of this episode")
        return np.stack(frames)

    def _wanted(self, container: Any) -> Iterator[Any]:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        if self.start:
            container.seek(int(self.start / stream.time_base), stream=stream)
        count = 0
        for frame in container.decode(stream):
            if self.start and frame.time < self.start - 0.5 / float(stream.average_rate):
                continue  # a seek lands on the key frame before
            if frame.is_corrupt:  # the decoder fills the holes of a damaged file and goes on
                raise ValueError(f"frame {count} is corrupt")
            if count % self.stride == 0:
                yield frame
            count += 1
            if count == self.length:
                return


def _first_words(error: Exception) -> str:
    """FFmpeg repeats the file and its last log line; the reason stands at the front."""
    return str(error).split(";")[0].split(": '")[0]
