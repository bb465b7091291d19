"""TensorBoard: scalars of the steps, and sample videos as moving images, with a copy of each as a file."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

LEAST_HEIGHT = 192
"""Pixels; smaller videos are enlarged by a whole number."""


class Board:
    """Writes into ``FOLDER/tensorboard/STAGE`` and ``FOLDER/samples/STAGE``.

    Without the package `tensorboard` it writes the sample videos only, and says so once.

    Args:
        folder: Work folder.
        stage: Name of the stage.
        step: Steps done; what an earlier run wrote of later ones is hidden.
        period: Seconds between frames of a video.
    """

    def __init__(self, folder: Path, stage: str, step: int, period: float = 0.2) -> None:
        self.samples = folder / "samples" / stage
        self.period = period
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            print("no TensorBoard scalars: the package `tensorboard` is missing (extra `train`)", file=sys.stderr)
            self._writer = None
        else:
            self._writer = SummaryWriter(str(folder / "tensorboard" / stage), purge_step=step + 1)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add figures of a step."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def videos(self, step: int, videos: Mapping[str, np.ndarray]) -> None:
        """Add videos ``(T, h, w, 3)`` uint8 by name."""
        for name, frames in videos.items():
            encoded, size = gif(frames, self.period)
            self.samples.mkdir(parents=True, exist_ok=True)
            (self.samples / f"{name}-{step:07}.gif").write_bytes(encoded)
            if self._writer is not None:
                self._add_gif(name, encoded, size, step)

    def flush(self) -> None:
        """Put what is still in memory on disk."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()

    def _add_gif(self, name: str, encoded: bytes, size: tuple[int, int], step: int) -> None:
        # SummaryWriter.add_video would do this through moviepy; TensorBoard plays any GIF given as an image.
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(height=size[1], width=size[0], colorspace=3, encoded_image_string=encoded)
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._writer.file_writer.add_summary(summary, step)  # type: ignore[union-attr]


def gif(frames: np.ndarray, period: float) -> tuple[bytes, tuple[int, int]]:
    """A looping GIF of frames ``(T, h, w, 3)`` uint8, ``period`` seconds each, and its (width, height)."""
    scale = -(-LEAST_HEIGHT // frames.shape[1]) if frames.shape[1] < LEAST_HEIGHT else 1
    large = frames.repeat(scale, axis=1).repeat(scale, axis=2)
    images = [Image.fromarray(frame) for frame in large]
    buffer = io.BytesIO()
    images[0].save(
        buffer, "GIF", save_all=True, append_images=images[1:], duration=round(1000 * period), loop=0, disposal=1
    )
    return buffer.getvalue(), images[0].size
