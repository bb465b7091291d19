"""Read what is left of a damaged MCAP file, record by record from the front.

The normal reader needs the index at the end of the file, which a recording that was cut off (power loss, full disk,
`kill -9`) does not have. Everything before the cut is intact, so this reader walks forward through the records of the
format (https://mcap.dev/spec: opcode, 64-bit length, content) and stops at the first one that is incomplete.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lz4.frame import LZ4FrameDecompressor

MAGIC = b"\x89MCAP0\r\n"
SCHEMA, CHANNEL, MESSAGE, CHUNK, DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F
_LARGEST_RECORD = 1 << 31


class CutOffError(Exception):
    """The file ends (or stops making sense) before its end record; what came before is good."""


def salvage(path: Path) -> Iterator[tuple[str, str, int, bytes]]:
    """Yield ``(topic, type, log time [ns], CDR bytes)`` of every complete message, in file order.

    Raises:
        CutOffError: After the last readable message, when the file does not end properly.
    """
    with path.open("rb") as stream:
        if stream.read(8) != MAGIC:
            raise CutOffError("the file does not begin as an MCAP file does")
        yield from _walk(stream, {}, {})


def _walk(
    stream: BinaryIO, schemas: dict[int, str], channels: dict[int, tuple[str, str]]
) -> Iterator[tuple[str, str, int, bytes]]:
    while opcode := stream.read(1):
        if opcode[0] == DATA_END:
            return
        content = _content(stream, opcode[0])
        try:
            if opcode[0] == SCHEMA:
                key, size = struct.unpack_from("<HI", content)
                schemas[key] = content[6 : 6 + size].decode()
            elif opcode[0] == CHANNEL:
                key, schema, size = struct.unpack_from("<HHI", content)
                channels[key] = (content[8 : 8 + size].decode(), schemas.get(schema, "unknown"))
            elif opcode[0] == MESSAGE:
                key, _, log_time = struct.unpack_from("<HIQ", content)
                if key in channels:
                    yield (*channels[key], log_time, content[22:])
            elif opcode[0] == CHUNK:
                yield from _walk(io.BytesIO(_unpack(content)), schemas, channels)
        except (struct.error, UnicodeDecodeError) as error:
            raise CutOffError(f"a record of kind {opcode[0]:#04x} makes no sense ({error})") from error
    if not isinstance(stream, io.BytesIO):
        raise CutOffError("the file ends without its end record")


def _content(stream: BinaryIO, opcode: int) -> bytes:
    """Content of one record; of an incomplete chunk, the part that is there."""
    head = stream.read(8)
    size = struct.unpack("<Q", head)[0] if len(head) == 8 else _LARGEST_RECORD
    content = stream.read(size) if size < _LARGEST_RECORD else b""
    if len(content) < size and opcode != CHUNK:
        raise CutOffError("the file ends in the middle of a record")
    return content


def _unpack(chunk: bytes) -> bytes:
    """Records of a chunk: 28 bytes of times, size and checksum, then how it is compressed, then the data.

    A chunk that is cut off is unpacked as far as it goes.
    """
    size = struct.unpack_from("<I", chunk, 28)[0]
    compression = chunk[32 : 32 + size].decode()
    data = chunk[40 + size :]
    if not compression:
        return data
    try:
        unpacker = LZ4FrameDecompressor() if compression == "lz4" else _zstd().ZstdDecompressor()
        return bytes(unpacker.decompress(data))
    except Exception as error:  # each codec has its own error class; any of them means a damaged chunk
        raise CutOffError(f"a {compression} chunk cannot be unpacked ({error})") from error


def _zstd():  # type: ignore[no-untyped-def]
    """Python's own zstd where there is one (3.14), else the backport that rosbags brings."""
    try:
        from compression import zstd  # type: ignore[import-not-found]
    except ImportError:
        from backports import zstd
    return zstd
