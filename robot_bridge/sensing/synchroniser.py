"""Brings frames of several cameras and joint states together by their header stamps.

The cameras of a DROID cell are not hardware-synchronised, and messages may arrive in any order. A set is complete when
every stream has its final nearest sample for a frame of the first camera: one at or after that frame's stamp, or, where
a stream is late, the best one once every other stream has moved on by the tolerance.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robot_bridge.guard.reasons import Reason

KEEP_SECONDS = 1.5
"""How long samples wait for the other streams."""

RESTART_AFTER = 5
"""This many refused stamps in a row mean that the stream's clock was set back (simulation reset, bag started again)."""


@dataclass(frozen=True, eq=False)
class JointSample:
    """The arm and the gripper at one moment.

    Attributes:
        stamp: Seconds on the robot's clock.
        joints: ``(7,)`` rad.
        velocities: ``(7,)`` rad/s; zeros where the driver does not say.
        gripper: 0 open .. 1 closed.
    """

    stamp: float
    joints: np.ndarray
    velocities: np.ndarray
    gripper: float


@dataclass(frozen=True, eq=False)
class SensorSet:
    """One synchronised look at the cell.

    Attributes:
        stamp: Stamp of the first camera's frame.
        images: Camera role -> ``(H, W, 3)`` uint8 RGB.
        image_stamps: Camera role -> stamp.
        joints: The joint state nearest to ``stamp``.
    """

    stamp: float
    images: dict[str, np.ndarray]
    image_stamps: dict[str, float]
    joints: JointSample

    @property
    def skew(self) -> float:
        """Spread of the cameras' stamps, seconds."""
        return max(self.image_stamps.values()) - min(self.image_stamps.values())


@dataclass
class _Stream:
    """Samples of one sensor, oldest first."""

    stamps: list[float] = field(default_factory=list)
    values: dict[float, Any] = field(default_factory=dict)
    refused_in_a_row: int = 0

    def add(self, stamp: float, value: Any) -> Reason | None:
        reason = self._refusal(stamp)
        if reason is Reason.OUT_OF_ORDER:
            self.refused_in_a_row += 1
            if self.refused_in_a_row < RESTART_AFTER:
                return reason
            self.stamps, self.values, reason = [], {}, None
        if reason is None:
            self.refused_in_a_row = 0
            insort(self.stamps, stamp)
            self.values[stamp] = value
        return reason

    def _refusal(self, stamp: float) -> Reason | None:
        if not math.isfinite(stamp) or stamp <= 0.0:
            return Reason.NO_STAMP
        if stamp in self.values:
            return Reason.DUPLICATE_STAMP
        if self.stamps and stamp < self.stamps[-1] - KEEP_SECONDS / 2:
            return Reason.OUT_OF_ORDER
        return None

    def forget_before(self, stamp: float) -> None:
        """Drop old samples; the newest always stays, so that its age can be told."""
        keep = min(bisect_left(self.stamps, stamp), len(self.stamps) - 1)
        for old in self.stamps[: max(keep, 0)]:
            del self.values[old]
        self.stamps = self.stamps[max(keep, 0) :]

    def nearest(self, stamp: float) -> float | None:
        index = bisect_left(self.stamps, stamp)
        around = self.stamps[max(index - 1, 0) : index + 1]
        return min(around, key=lambda other: abs(other - stamp)) if around else None


class Synchroniser:
    """Nearest-stamp matching of cameras and joint states. Not thread-safe: guard it with the node's lock."""

    def __init__(self, cameras: tuple[str, ...], tolerance: float) -> None:
        """Create it.

        Args:
            cameras: Roles; the first one sets the pace.
            tolerance: Largest distance of any stream's stamp from the first camera's, seconds.
        """
        self.cameras = cameras
        self.tolerance = tolerance
        self.joints = _Stream()
        self.images = {name: _Stream() for name in cameras}
        self._last_set = -math.inf

    def add_image(self, camera: str, stamp: float, image: np.ndarray) -> Reason | None:
        """Take a frame; returns why it was refused, or None. A late frame within the buffer is sorted in."""
        return self._noticing_restart(self.images[camera].add(stamp, image), stamp)

    def add_joints(self, sample: JointSample) -> Reason | None:
        """Take a joint state; returns why it was refused, or None."""
        return self._noticing_restart(self.joints.add(sample.stamp, sample), sample.stamp)

    def _noticing_restart(self, reason: Reason | None, stamp: float) -> Reason | None:
        if reason is None and stamp < self._last_set - KEEP_SECONDS:
            self._last_set = -math.inf
        return reason

    def newest_joints(self) -> JointSample | None:
        """The joint state with the newest stamp."""
        return self.joints.values[self.joints.stamps[-1]] if self.joints.stamps else None

    def camera_ages(self, now: float) -> dict[str, float]:
        """Camera role -> seconds since its newest frame's stamp; infinite where none came yet."""
        return {name: now - stream.stamps[-1] if stream.stamps else math.inf for name, stream in self.images.items()}

    def take(self) -> SensorSet | None:
        """The newest complete set that was not taken before, or None. Older incomplete frames are given up."""
        leader = self.images[self.cameras[0]]
        streams = [*self.images.values(), self.joints]
        for stamp in reversed(leader.stamps):
            if stamp <= self._last_set:
                break
            matches = [self._match(stream, stamp, streams) for stream in streams]
            if all(match is not None for match in matches):
                self._last_set = stamp
                for stream in streams:
                    stream.forget_before(stamp - KEEP_SECONDS)
                return self._set(stamp, [match for match in matches if match is not None])
        newest = max((stream.stamps[-1] for stream in streams if stream.stamps), default=0.0)
        for stream in streams:
            if stream.stamps:
                stream.forget_before(newest - KEEP_SECONDS)
        return None

    def _match(self, stream: _Stream, stamp: float, streams: list[_Stream]) -> float | None:
        nearest = stream.nearest(stamp)
        if nearest is None or abs(nearest - stamp) > self.tolerance:
            return None
        final = stream.stamps[-1] >= stamp or all(
            other.stamps[-1] > stamp + self.tolerance for other in streams if other is not stream and other.stamps
        )
        return nearest if final else None

    def _set(self, stamp: float, matches: list[float]) -> SensorSet:
        *image_stamps, joint_stamp = matches
        return SensorSet(
            stamp=stamp,
            images={name: self.images[name].values[at] for name, at in zip(self.cameras, image_stamps, strict=True)},
            image_stamps=dict(zip(self.cameras, image_stamps, strict=True)),
            joints=self.joints.values[joint_stamp],
        )
