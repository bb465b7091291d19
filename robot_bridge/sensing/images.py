"""Camera messages to RGB arrays.

The encodings that camera drivers use are read directly (no copy before the colour conversion, row padding respected);
rarer ones go through cv_bridge where a ROS installation has it, else through rosbags-image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from robot_bridge.errors import ImageError

MAX_PIXELS = 4096 * 4096

# encoding -> channels, and the conversion to RGB (None: it is RGB already)
_ENCODINGS: dict[str, tuple[int, int | None]] = {
    "rgb8": (3, None),
    "8UC3": (3, cv2.COLOR_BGR2RGB),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
    "8UC4": (4, cv2.COLOR_BGRA2RGB),
    "mono8": (1, cv2.COLOR_GRAY2RGB),
    "8UC1": (1, cv2.COLOR_GRAY2RGB),
}


def image_to_rgb(message: Any) -> np.ndarray:
    """RGB array of a sensor_msgs/Image (rclpy's or rosbags').

    Returns:
        ``(H, W, 3)`` uint8, contiguous, not sharing memory with the message.

    Raises:
        ImageError: The size, the row step, the data or the encoding cannot be right.
    """
    height, width, step = int(message.height), int(message.width), int(message.step)
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ImageError(f"an image of {width}x{height} pixels cannot be right; check the camera driver")
    if message.encoding not in _ENCODINGS:
        return _rare_encoding(message)
    channels, conversion = _ENCODINGS[message.encoding]
    if step < width * channels:
        raise ImageError(
            f"{message.encoding} rows of {width} pixels need {width * channels} bytes, the step says {step}"
        )
    data = np.frombuffer(message.data, np.uint8)
    if data.size < step * height:
        raise ImageError(f"the image is cut off: {data.size} bytes where {height} rows of {step} need {step * height}")
    pixels = data[: step * height].reshape(height, step)[:, : width * channels].reshape(height, width, channels)
    return pixels.copy() if conversion is None else cv2.cvtColor(pixels, conversion)


def compressed_to_rgb(message: Any) -> np.ndarray:
    """RGB array ``(H, W, 3)`` uint8 of a sensor_msgs/CompressedImage (JPEG or PNG).

    Raises:
        ImageError: The data is empty, damaged, or not a picture.
    """
    data = np.frombuffer(message.data, np.uint8)
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error as error:
        raise ImageError(f"the compressed image cannot be decoded: {error}") from error
    if pixels is None:
        raise ImageError(f"the compressed image ('{message.format}', {data.size} bytes) is damaged or not JPEG/PNG")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _rare_encoding(message: Any) -> np.ndarray:
    try:
        return np.ascontiguousarray(_converter()(message))
    except Exception as error:
        known = ", ".join(_ENCODINGS)
        raise ImageError(f"cannot read encoding '{message.encoding}' ({error}); read directly are {known}") from error


def _converter() -> Callable[[Any], np.ndarray]:
    """Whatever library is here to read Bayer, YUV and 16-bit images."""
    try:
        from cv_bridge import CvBridge
    except ImportError:
        from rosbags.image import image_to_cvimage

        return lambda message: image_to_cvimage(message, "rgb8")
    return lambda message: CvBridge().imgmsg_to_cv2(message, "rgb8")
