"""Write a rosbag2 (MCAP) that is either complete or not there."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from robot_bridge.bags.bag import BagError


class BagWriter:
    """Context manager around the `rosbags` writer.

    The bag grows in a hidden folder beside its target and gets its name only when it is closed without an error. A
    target that ends in ``.mcap`` becomes that single file; any other name becomes a rosbag2 folder with metadata.

    Raises:
        BagError: The target exists already or its folder cannot be written.
    """

    def __init__(self, target: Path):
        from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
        from rosbags.typesys import Stores, get_typestore

        if target.exists():
            raise BagError(f"{target} exists already; choose another --out or remove it.")
        self.target = target
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        except OSError as error:
            raise BagError(f"cannot write {target}: {error}") from error
        self.store = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(self._folder / target.stem, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._connections: dict[str, Any] = {}

    def __enter__(self) -> BagWriter:
        self._writer.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close()
            made = self._folder / self.target.stem
            if kind is None:
                (made / f"{self.target.stem}.mcap" if self.target.suffix == ".mcap" else made).rename(self.target)
        except Exception:
            if kind is None:  # else the first error is the one to tell
                raise
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def write(self, topic: str, log_time: int, message: Any, *, latched: bool = False) -> None:
        """Append a message of the Jazzy type store received at ``log_time`` [ns]; ``latched`` for late joiners."""
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                topic, message.__msgtype__, typestore=self.store, offered_qos_profiles=[_qos(latched)]
            )
        self._writer.write(self._connections[topic], log_time, self.store.serialize_cdr(message, message.__msgtype__))

    def header(self, stamp: int, frame: str) -> Any:
        """A std_msgs/Header with ``stamp`` in ns."""
        time = self.store.types["builtin_interfaces/msg/Time"](stamp // 1_000_000_000, stamp % 1_000_000_000)
        return self.store.types["std_msgs/msg/Header"](time, frame)

    def image(self, stamp: int, frame: str, bgra: np.ndarray) -> Any:
        """A sensor_msgs/Image of ``(h, w, 4)`` uint8 BGRA pixels, as a ZED publishes it."""
        height, width, channels = bgra.shape
        data = np.ascontiguousarray(bgra).reshape(-1)
        return self.store.types["sensor_msgs/msg/Image"](
            self.header(stamp, frame), height, width, "bgra8", 0, width * channels, data
        )


def _qos(latched: bool) -> Any:
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    forever = QosTime(9223372036, 854775807)
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(
        QosHistory.KEEP_LAST, 1 if latched else 10, QosReliability.RELIABLE, durability,
        forever, forever, QosLiveliness.AUTOMATIC, forever, False,
    )  # fmt: skip
