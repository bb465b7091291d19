"""Small drawing helpers shared by the video and the page."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

INK, MUTED, PAPER, LINE = (27, 31, 36), (107, 114, 128), (255, 255, 255), (229, 231, 235)
BLUE, ORANGE, RED, GREEN = (37, 99, 235), (217, 119, 6), (185, 28, 28), (21, 128, 61)


def fit(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture ``(h, w, 3)`` at exactly ``width`` x ``height``: averaged when it shrinks, smooth when it grows."""
    shrinks = picture.shape[1] > width
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def data_uri(picture: np.ndarray, quality: int = 88) -> str:
    """An RGB picture as a JPEG inside a ``data:`` address."""
    done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"cannot encode a picture of shape {picture.shape}")
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()


@lru_cache(maxsize=16)
def font(size: int, bold: bool = False):  # type: ignore[no-untyped-def]
    """A TrueType font that is surely there: matplotlib brings DejaVu Sans."""
    import matplotlib
    from PIL import ImageFont

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)
