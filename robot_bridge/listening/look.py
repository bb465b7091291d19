"""What was heard of a ROS graph in a moment of listening, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robot_bridge.bags.recorded import COMPRESSED, IMAGE, Recorded, decode, picture_topics
from robot_bridge.errors import ImageError
from robot_bridge.sensing.images import compressed_to_rgb, image_to_rgb

QUIET = ("/rosout", "/parameter_events", "/clock")
"""Topics that every node brings; on simulated time it listens to a clock."""


@dataclass
class Heard:
    """What came on one topic.

    Attributes:
        type: ROS type.
        count: Messages while listening.
        seconds: Between the first and the last receipt.
        lags: Seconds from ``header.stamp`` to receipt, per message with a stamp.
        last: The newest message, decoded; None where it could not be.
    """

    type: str
    count: int = 0
    seconds: float = 0.0
    lags: list[float] = field(default_factory=list)
    last: Any = None
    _newest: Recorded | None = field(default=None, repr=False)

    @property
    def rate(self) -> float:
        """Messages per second; 0 for fewer than two."""
        return (self.count - 1) / self.seconds if self.count > 1 and self.seconds > 0 else 0.0

    @property
    def megabytes_per_second(self) -> float:
        """What a recording of it takes."""
        return self.rate * len(self._newest.data) / 1e6 if self._newest else 0.0

    @property
    def lag(self) -> float | None:
        """Median seconds from stamp to receipt."""
        return float(np.median(self.lags)) if self.lags else None

    def picture(self) -> np.ndarray | None:
        """The newest message as an RGB picture ``(H, W, 3)``, None where it is none.

        Raises:
            ImageError: It is one, but cannot be read.
        """
        if self.last is None or self.type not in (IMAGE, COMPRESSED):
            return None
        return compressed_to_rgb(self.last) if self.type == COMPRESSED else image_to_rgb(self.last)

    def keep(self, topic: str, data: bytes, received: float, first: float) -> None:
        """Count a message.

        Args:
            topic: Its topic.
            data: Its CDR bytes.
            received: Time of receipt on the clock of the stamps, seconds.
            first: That of the first message of this topic.
        """
        message = Recorded(topic, self.type, 0, data)
        self.count, self.seconds = self.count + 1, received - first
        if message.stamp is not None:
            self.lags.append(received - message.stamp / 1e9)
        self._newest = message

    def finish(self) -> None:
        """Decode the newest message; once, as it is only looked at in the end."""
        if self._newest is not None:
            self.last = decode(self._newest)


@dataclass(frozen=True, eq=False)
class Look:
    """A moment of listening.

    Attributes:
        topics: Every topic of the graph -> type.
        subscribers: Topic -> how many listen to it, this look not counted.
        heard: What came, by topic.
        seconds: How long was listened.
    """

    topics: Mapping[str, str]
    subscribers: Mapping[str, int]
    heard: Mapping[str, Heard]
    seconds: float

    @property
    def empty(self) -> bool:
        """Whether nobody else is there."""
        return not set(self.topics) - set(QUIET)

    @property
    def image_topics(self) -> list[str]:
        """Topics that carry colour pictures, see `picture_topics`."""
        return picture_topics(self.topics)

    def pictures(self, topics: list[str]) -> list[tuple[str, np.ndarray | None]]:
        """The newest picture of each topic, None where none came or it cannot be read."""
        shown: list[tuple[str, np.ndarray | None]] = []
        for topic in topics:
            try:
                shown.append((topic, self.heard[topic].picture() if topic in self.heard else None))
            except ImageError:
                shown.append((topic, None))
        return shown
