"""openpi's encoding of messages: msgpack, with arrays as maps of bytes, type and shape.

An array is ``{b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [...]}``, a NumPy scalar
``{b"__npgeneric__": True, b"data": number, b"dtype": "<f4"}``. Only plain numbers are accepted, of few dimensions and
of exactly the bytes their shape needs; nothing is ever unpickled.
"""

from __future__ import annotations

import math
from typing import Any

import msgpack
import numpy as np

from planner_server.policy.errors import MessageError

MAX_BYTES = 8 * 2**20
"""Largest message: three raw 640x480 pictures with room to spare."""
MAX_ITEMS = 256
"""Most entries of one map, and of one list."""
MAX_DIMENSIONS = 5
KINDS = "biuf"
"""NumPy kinds that are accepted: booleans, integers, floating point numbers."""


def encode(message: dict[str, Any]) -> bytes:
    """One message.

    Raises:
        MessageError: It holds something else than numbers, text, arrays of numbers, lists and maps of these.
    """
    try:
        return msgpack.packb(message, default=_plain)
    except (TypeError, ValueError, OverflowError) as error:
        raise MessageError(f"cannot be sent: {error}") from error


def decode(data: bytes) -> dict[Any, Any]:
    """The message in ``data``; its arrays are read-only views of it.

    Raises:
        MessageError: Not msgpack, not a map, too large, or an array that is not what it says.
    """
    if len(data) > MAX_BYTES:
        raise MessageError(f"a message of {len(data)} bytes exceeds {MAX_BYTES}")
    try:
        message = msgpack.unpackb(
            data, object_hook=_array, max_map_len=MAX_ITEMS, max_array_len=MAX_ITEMS, max_ext_len=0
        )
    except MessageError:
        raise
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise MessageError(f"not a message of msgpack arrays: {str(error) or type(error).__name__}") from error
    if not isinstance(message, dict):
        raise MessageError(f"a message must be a map, not {type(message).__name__}")
    return message


def _plain(value: Any) -> dict[bytes, Any]:
    if not isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(f"a {type(value).__name__} is no number, text, array, list or map")
    if value.dtype.kind not in KINDS:
        raise TypeError(f"arrays of {value.dtype} are not sent")
    if isinstance(value, np.ndarray):
        return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}
    return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}


def _array(values: dict[Any, Any]) -> Any:
    if b"__ndarray__" in values:
        dtype, shape, data = _dtype(values), values.get(b"shape"), values.get(b"data")
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not all(_is_length(n) for n in shape):
            raise MessageError(f"an array of shape {shape!r} is refused")
        if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
            raise MessageError(f"an array of shape {shape} and type {dtype} does not have the bytes it needs")
        return np.frombuffer(data, dtype).reshape(shape)
    if b"__npgeneric__" in values:
        number = values.get(b"data")
        if not isinstance(number, (bool, int, float)):
            raise MessageError(f"a scalar of {type(number).__name__} is refused")
        return _dtype(values).type(number)
    return values


def _dtype(values: dict[Any, Any]) -> np.dtype:
    name = values.get(b"dtype")
    # Text such as "<f4" only: a list or a long text would describe structures.
    if not isinstance(name, str) or len(name) != 3 or name[1] not in KINDS:
        raise MessageError(f"arrays of {name!r} are refused")
    try:
        return np.dtype(name)
    except TypeError as error:
        raise MessageError(f"arrays of {name!r} are refused") from error


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_BYTES
