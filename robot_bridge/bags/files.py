"""The storage files of a bag: found, and read from the front as far as they go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from robot_bridge.bags.check import Problem
from robot_bridge.bags.mcap_salvage import CutOffError, salvage
from robot_bridge.errors import BridgeError


class BagError(BridgeError):
    """A bag cannot be read at all, or cannot be written."""


def target(path: Path, problems: list[Problem]) -> Path:
    """The folder of a bag, or its one storage file where ``metadata.yaml`` is missing."""
    if not path.exists():
        raise BagError(f"{path}: no such bag. It is a rosbag2 folder, or an .mcap or .db3 file.")
    if path.is_file():
        if path.suffix not in (".mcap", ".db3"):
            hint = " A ROS 1 bag is converted with `rosbags-convert`." if path.suffix == ".bag" else ""
            raise BagError(f"{path}: not a rosbag2 (a folder with metadata.yaml, or an .mcap or .db3 file).{hint}")
        return path
    files = sorted([*path.glob("*.mcap"), *path.glob("*.db3")])
    if not files:
        raise BagError(f"{path}: the folder holds no .mcap or .db3 file.")
    if (path / "metadata.yaml").exists():
        return path
    text = f"{path}: metadata.yaml is missing (recording not closed?); `ros2 bag reindex {path}` writes it again."
    problems.append(Problem("truncated", text))
    return files[0] if len(files) == 1 else path


def front_to_back(file: Path) -> Iterator[tuple[str, str, int, bytes]]:
    """Messages of one storage file as far as they can be read; raises `CutOffError` where that ends early."""
    if file.suffix == ".mcap":
        yield from salvage(file)
        return
    from rosbags.rosbag2 import Reader

    try:
        with Reader(file) as reader:
            for connection, log_time, data in reader.messages():
                yield connection.topic, connection.msgtype, log_time, bytes(data)
    except Exception as error:  # sqlite's own errors
        raise CutOffError(str(error)) from error


def cut(file: Path) -> str | None:
    """Why reading a file from the front ends early, or None."""
    try:
        for _ in front_to_back(file):
            pass
    except CutOffError as error:
        return f"{file.name}: {error}"
    return None
