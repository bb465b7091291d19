"""Camera messages of every usual encoding become the same RGB picture; broken ones say what is broken."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot_bridge.errors import ImageError
from robot_bridge.sensing.images import compressed_to_rgb, image_to_rgb

RGB = np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8)
ALPHA = np.full((6, 10, 1), 255, np.uint8)
PIXELS = {
    "rgb8": RGB,
    "bgr8": RGB[..., ::-1],
    "8UC3": RGB[..., ::-1],
    "rgba8": np.concatenate([RGB, ALPHA], axis=2),
    "bgra8": np.concatenate([RGB[..., ::-1], ALPHA], axis=2),
}


def message(pixels: np.ndarray, encoding: str, padding: int = 0) -> SimpleNamespace:
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1)
    rows = np.pad(rows, ((0, 0), (0, padding)))
    return SimpleNamespace(
        height=pixels.shape[0], width=pixels.shape[1], step=rows.shape[1], encoding=encoding, data=rows.tobytes(),
        is_bigendian=0,
    )  # fmt: skip


@pytest.mark.parametrize("encoding", PIXELS)
@pytest.mark.parametrize("padding", [0, 7])
def test_encodings_and_row_padding(encoding, padding):
    assert (image_to_rgb(message(PIXELS[encoding], encoding, padding)) == RGB).all()


def test_mono_becomes_grey():
    grey = RGB[..., 0]
    assert (image_to_rgb(message(grey, "mono8")) == grey[..., None]).all()


def test_rare_encodings_go_through_a_library():
    deep = RGB.astype(np.uint16) * 257
    assert np.abs(image_to_rgb(message(deep, "rgb16")).astype(int) - RGB).max() <= 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"data": b"123"}, "cut off"),
        ({"step": 5}, "step"),
        ({"width": 0}, "0x6 pixels"),
        ({"width": 10**6, "height": 10**6}, "cannot be right"),
        ({"encoding": "jpeg2000"}, "cannot read encoding 'jpeg2000'"),
    ],
)
def test_broken_images_say_what_is_wrong(change, match):
    broken = message(RGB, "rgb8")
    vars(broken).update(change)
    with pytest.raises(ImageError, match=match):
        image_to_rgb(broken)


def test_compressed_images():
    data = cv2.imencode(".png", RGB[..., ::-1])[1].tobytes()
    assert (compressed_to_rgb(SimpleNamespace(format="png", data=data)) == RGB).all()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_our_error(data):
    with pytest.raises(ImageError):
        compressed_to_rgb(SimpleNamespace(format="jpeg", data=data))
