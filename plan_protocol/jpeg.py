"""JPEG for images on slow links: about a tenth of the bytes, at the price of exact pixels.

An array of images becomes one frame, the files of its images one after the other in row-major order. A JPEG file is a
stranger's program for a decoder, so its own idea of its size is read and compared first: a few hundred bytes can
otherwise ask for gigabytes.
"""

from __future__ import annotations

import math

import numpy as np

from plan_protocol.errors import InvalidFieldError, MalformedMessageError

QUALITY = 90
_START, _END = b"\xff\xd8", b"\xff\xd9"
_BASELINE_FRAMES = (0xC0, 0xC1)
_OTHER_FRAMES = (0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))


def encode_images(images: np.ndarray, quality: int = QUALITY) -> tuple[bytes, list[int]]:
    """Compress ``(..., H, W, 3)`` uint8 RGB images.

    Returns:
        All files one after the other, and the length of each in bytes.
    """
    import cv2  # 100 ms to import, and only needed here

    files = []
    for image in images.reshape(-1, *images.shape[-3:]):
        done, file = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not done:
            raise InvalidFieldError(f"an image of {image.shape[0]}x{image.shape[1]} pixels cannot be made a JPEG")
        files.append(file.tobytes())
    return b"".join(files), [len(file) for file in files]


def decode_images(data: memoryview, lengths: list[int], shape: tuple[int, ...], where: str) -> np.ndarray:
    """Decompress what `encode_images` made into ``shape`` uint8 RGB.

    The caller has checked that `shape` is within the limits and ends with 3.

    Raises:
        MalformedMessageError: If the files do not decode to exactly that shape.
    """
    import cv2

    count, (height, width) = math.prod(shape[:-3]), shape[-3:-1]
    if len(lengths) != count or sum(lengths) != len(data):
        raise MalformedMessageError(
            f"{where}: {count} JPEG images in {len(data)} bytes do not fit the {len(lengths)} lengths given"
        )
    images = np.empty((count, height, width, 3), np.uint8)
    start = 0
    for i, length in enumerate(lengths):
        file = bytes(data[start : start + length])
        start += length
        if stated_size(file) != (height, width):
            raise MalformedMessageError(f"{where}: image {i} is not a whole baseline JPEG of {height}x{width} pixels")
        try:
            # The rotation a camera may note in the file is ignored: the shape of the message counts.
            flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
            image = cv2.imdecode(np.frombuffer(file, np.uint8), flags)
        except cv2.error:
            image = None
        if image is None or image.shape != (height, width, 3):
            raise MalformedMessageError(f"{where}: image {i} is a damaged JPEG")
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=images[i])
    return images.reshape(shape)


def stated_size(file: bytes) -> tuple[int, int] | None:
    """Height and width that a baseline JPEG file says it has; None if it is not a whole file of that kind."""
    if not file.startswith(_START) or not file.endswith(_END):
        return None
    at = 2
    while at + 4 <= len(file):
        if file[at] != 0xFF:
            return None
        marker = file[at + 1]
        length = int.from_bytes(file[at + 2 : at + 4], "big")
        if marker in _BASELINE_FRAMES:
            # Marker, length, precision (1 byte), height (2), width (2).
            return int.from_bytes(file[at + 5 : at + 7], "big"), int.from_bytes(file[at + 7 : at + 9], "big")
        if marker in _OTHER_FRAMES or length < 2 or not 0xC0 <= marker <= 0xFE or 0xD0 <= marker <= 0xDA:
            return None  # progressive or another process, or image data before any size
        at += 2 + length
    return None
