"""Messages to ZeroMQ frames and back.

A message is a msgpack header frame followed by one raw frame per array: no pickle, and the pixels are neither copied
nor walked through in Python. `decode` may be given anything; all it can raise is a `ProtocolError`.

    frames = encode(request, Header(robot="cell-3", session="9f2c", request=17))
    header, message = decode(frames)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack
import numpy as np

from plan_protocol import jpeg, limits
from plan_protocol.errors import (
    InvalidFieldError,
    LimitExceededError,
    MalformedMessageError,
    UnsupportedVersionError,
)
from plan_protocol.fields import Arrays
from plan_protocol.messages import PROTOCOL_VERSION, Message, Plan, PlanRequest
from plan_protocol.schema import BODIES, ENVELOPE, IN_HEADER, TYPE_NAMES, check_whole

Buffer = bytes | bytearray | memoryview

# Robot and session in an error reply to a message whose header could not be read.
NOBODY = "-"


@dataclass(frozen=True)
class Header:
    """Whose message it is and what it answers.

    Attributes:
        robot: Name of the robot, chosen by the client.
        session: Random name of one run of the client; a reply echoes it.
        request: Number of the request within the session; a reply echoes it. 0 is a heartbeat.
        sequence: Count of messages the sender has sent, from 0.
        stamp: Seconds on the robot's clock of the newest observation, for plan requests and all that answers them.
        deadline: Seconds after which the answer is useless, for plan requests.
        type: Name of the message's type on the wire; filled in by the codec.
    """

    robot: str
    session: str
    request: int
    sequence: int = 0
    stamp: float | None = None
    deadline: float | None = None
    type: str = ""


@dataclass
class Packed:
    """A checked message on its way out: all that is missing is whose it is."""

    type: str
    body: dict[str, Any]
    arrays: list[np.ndarray]
    stamp: float | None = None
    deadline: float | None = None
    compressed: dict[int, tuple[bytes, list[int]]] = field(default_factory=dict)

    def frames(self, header: Header) -> list[Buffer]:
        """The message as frames; `header.type`, and stamp and deadline where the message has them, are replaced.

        Raises:
            ProtocolError: If the header is not valid or the message is too large.
        """
        header = replace(
            header,
            type=self.type,
            stamp=header.stamp if self.stamp is None else self.stamp,
            deadline=header.deadline if self.deadline is None else self.deadline,
        )
        content: dict[str, Any] = {"version": PROTOCOL_VERSION}
        no_arrays = Arrays()
        for name, kind in ENVELOPE.items():
            if name != "version":
                content[name] = kind.pack(getattr(header, name), f"header.{name}", no_arrays)
        data = [self.compressed[i][0] if i in self.compressed else _bytes_of(a) for i, a in enumerate(self.arrays)]
        content["arrays"] = [self._descriptor(i) for i in range(len(self.arrays))]
        content["body"] = self.body
        first = msgpack.packb(content)
        if len(first) > limits.MAX_HEADER_BYTES:
            raise LimitExceededError(f"header: {len(first)} bytes, at most {limits.MAX_HEADER_BYTES} are allowed")
        frames: list[Buffer] = [first, *data]
        check_sizes([len(frame) for frame in frames])
        return frames

    def _descriptor(self, i: int) -> dict[str, Any]:
        array = self.arrays[i]
        entry: dict[str, Any] = {"dtype": limits.DTYPE_NAMES[array.dtype], "shape": list(array.shape)}
        if i in self.compressed:
            entry["jpeg"] = self.compressed[i][1]
        return entry


def pack(message: Message, *, jpeg_quality: int | None = None) -> Packed:
    """Check a message and prepare it for the wire.

    Arrays that are row-major and little-endian are not copied: leave them unchanged until the message is sent.

    Args:
        message: Any message of `messages`.
        jpeg_quality: Compress the images of a plan request to JPEG of this quality, 1 to 100.

    Raises:
        ProtocolError: If a field is not valid.
    """
    name = TYPE_NAMES.get(type(message))
    if name is None:
        raise InvalidFieldError(f"{type(message).__name__} is not a message of this protocol")
    arrays = Arrays()
    body = BODIES[name].pack(message, name, arrays)
    check_whole(message)
    packed = Packed(name, body, arrays.items)
    if isinstance(message, PlanRequest):
        packed.stamp, packed.deadline = message.observation_stamp, message.deadline
        if jpeg_quality is not None:
            packed.compressed[0] = jpeg.encode_images(arrays.items[0], jpeg_quality)
    elif isinstance(message, Plan):
        packed.stamp = message.observation_stamp
    return packed


def encode(message: Message, header: Header, *, jpeg_quality: int | None = None) -> list[Buffer]:
    """`pack` a message and give its frames."""
    return pack(message, jpeg_quality=jpeg_quality).frames(header)


@dataclass(frozen=True)
class Envelope:
    """A message whose header has been read and checked, and whose body has not."""

    header: Header
    body: Any
    arrays: Any

    def open(self, frames: Sequence[Buffer]) -> Message:
        """The message itself; `frames` are those after the header.

        Images are views of the frames' memory (read-only where that is), numbers are copies.

        Raises:
            ProtocolError: If body or arrays are not what the type demands.
        """
        kind = self.header.type
        arrays = _read_arrays(self.arrays, frames)
        values = BODIES[kind].unpack_fields(self.body, kind, arrays)
        if arrays.taken != len(arrays.items):
            raise MalformedMessageError(f"{kind}: {len(arrays.items) - arrays.taken} arrays belong to no field")
        for name, key in IN_HEADER.get(BODIES[kind].type, {}).items():
            values[name] = getattr(self.header, key)
            if values[name] is None:
                raise InvalidFieldError(f"header.{key}: a {kind} message needs it")
        message = BODIES[kind].type(**values)
        check_whole(message)
        if isinstance(message, PlanRequest) and message.observation_stamp != self.header.stamp:
            raise InvalidFieldError("header.stamp: must be the stamp of the newest observation")
        return message


def read_header(frame: Buffer) -> Envelope:
    """Read and check a header frame alone, which is all that is needed to queue or route a message.

    Raises:
        ProtocolError: If it is not a header of this version of the protocol.
    """
    if len(frame) > limits.MAX_HEADER_BYTES:
        raise LimitExceededError(f"header: {len(frame)} bytes, at most {limits.MAX_HEADER_BYTES} are allowed")
    if len(frame) == 0:
        raise MalformedMessageError("header: the first frame is empty; connect a DEALER socket, not a REQ socket")
    try:
        content = msgpack.unpackb(frame, strict_map_key=True)
    except Exception as error:  # msgpack documents no complete list of what broken input raises
        raise MalformedMessageError(f"header: not msgpack ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise MalformedMessageError(f"header: expected a map, got {type(content).__name__}")
    # First of all, and alone: another version may have other keys.
    no_arrays = Arrays()
    version = ENVELOPE["version"].unpack(content.get("version"), "header.version", no_arrays)
    if version != PROTOCOL_VERSION:
        raise UnsupportedVersionError(
            f"the peer speaks version {version} of the protocol, this side version {PROTOCOL_VERSION}: "
            "update the older of the two"
        )
    expected = [*ENVELOPE, "arrays", "body"]
    missing = [name for name in expected if name not in content]
    if missing or len(content) != len(expected):
        raise MalformedMessageError(f"header: expected exactly the keys {', '.join(expected)}; missing: {missing}")
    values = {name: kind.unpack(content[name], f"header.{name}", no_arrays) for name, kind in ENVELOPE.items()}
    del values["version"]
    return Envelope(Header(**values), content["body"], content["arrays"])


def decode(frames: Sequence[Buffer]) -> tuple[Header, Message]:
    """Frames to a message.

    Raises:
        ProtocolError: For anything that is not a valid message; nothing else is raised for any bytes.
    """
    check_sizes([len(frame) for frame in frames])
    if not frames:
        raise MalformedMessageError("a message has at least one frame, the header")
    envelope = read_header(frames[0])
    return envelope.header, envelope.open(frames[1:])


def check_sizes(sizes: Sequence[int]) -> None:
    """Refuse too many or too large frames.

    Raises:
        LimitExceededError: If number, size or sum of the frames is beyond `limits`.
    """
    if len(sizes) > limits.MAX_FRAMES:
        raise LimitExceededError(f"{len(sizes)} frames, at most {limits.MAX_FRAMES} are allowed")
    if max(sizes, default=0) > limits.MAX_FRAME_BYTES:
        raise LimitExceededError(f"a frame of {max(sizes)} bytes, at most {limits.MAX_FRAME_BYTES} are allowed")
    if sum(sizes) > limits.MAX_MESSAGE_BYTES:
        raise LimitExceededError(f"{sum(sizes)} bytes in a message, at most {limits.MAX_MESSAGE_BYTES} are allowed")


def _bytes_of(array: np.ndarray) -> Buffer:
    return array.data.cast("B") if array.size else b""


def _read_arrays(descriptors: Any, frames: Sequence[Buffer]) -> Arrays:
    """The arrays of a message, each checked against its descriptor before any memory is spent on it."""
    if not isinstance(descriptors, list):
        raise MalformedMessageError(f"header.arrays: expected a list, got {type(descriptors).__name__}")
    if len(descriptors) != len(frames):
        raise MalformedMessageError(f"header.arrays: describes {len(descriptors)} arrays, {len(frames)} frames came")
    arrays, total = Arrays(), 0
    for i, (entry, frame) in enumerate(zip(descriptors, frames, strict=True)):
        where = f"header.arrays[{i}]"
        dtype, shape, lengths = _read_descriptor(entry, where)
        size = math.prod(shape) * limits.DTYPES[dtype].itemsize
        total += size
        # An empty array may not have absurd other sides either: numpy would stumble over them.
        if math.prod(max(side, 1) for side in shape) > limits.MAX_FRAME_BYTES or total > limits.MAX_MESSAGE_BYTES:
            raise LimitExceededError(f"{where}: {dtype} {shape} is larger than a message may be")
        if lengths is not None:
            arrays.items.append(jpeg.decode_images(memoryview(frame), lengths, shape, where))
            continue
        if size != len(frame):
            raise MalformedMessageError(f"{where}: {dtype} {shape} takes {size} bytes, the frame has {len(frame)}")
        if size == 0:
            arrays.items.append(np.empty(shape, dtype))
            continue
        array = np.frombuffer(frame, limits.DTYPES[dtype]).reshape(shape)
        # Numbers are few: a copy is aligned, which a frame need not be, and writable.
        arrays.items.append(array if dtype == "uint8" else array.copy())
    return arrays


def _read_descriptor(entry: Any, where: str) -> tuple[str, tuple[int, ...], list[int] | None]:
    """Dtype, shape and, for JPEG images, the length of each file."""
    if not isinstance(entry, dict) or not {"dtype", "shape"} <= set(entry) <= {"dtype", "shape", "jpeg"}:
        raise MalformedMessageError(f"{where}: expected a map with dtype, shape and, for images, jpeg")
    dtype, shape, lengths = entry["dtype"], entry["shape"], entry.get("jpeg")
    if not isinstance(dtype, str) or dtype not in limits.DTYPES:
        raise InvalidFieldError(f"{where}.dtype: must be one of {', '.join(limits.DTYPES)}")
    if not _are_sizes(shape) or len(shape) > 8:
        raise MalformedMessageError(f"{where}.shape: expected a list of at most 8 sizes")
    if lengths is not None:
        if dtype != "uint8" or len(shape) < 3 or shape[-1] != 3 or 0 in shape:
            raise InvalidFieldError(f"{where}.jpeg: only uint8 images of shape (..., height, width, 3) can be JPEG")
        if not _are_sizes(lengths) or 0 in lengths:
            raise MalformedMessageError(f"{where}.jpeg: expected the list of the files' lengths in bytes")
    return dtype, tuple(shape), lengths


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(size) is int and 0 <= size <= limits.MAX_FRAME_BYTES for size in value)
