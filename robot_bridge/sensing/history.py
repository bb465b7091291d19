"""Remembers synchronised looks at the cell and picks the frames a planner wants, on its video grid."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np

from plan_protocol.messages import CameraSpec, Observation, PlannerSpec
from robot_bridge.errors import HistoryError
from robot_bridge.guard.reasons import Reason
from robot_bridge.sensing.synchroniser import SensorSet

DENSITY = 4
"""Frames kept per video period: a grid may then end at any recent frame and still find its neighbours."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One synchronised look in the planner's image size.

    Attributes:
        stamp: Seconds on the robot's clock.
        images: ``(C, H, W, 3)`` uint8 RGB in the order of the spec's cameras.
        skew: Spread of the cameras' stamps, seconds.
        oldest_image: Stamp of the oldest of the images.
        joint_stamp: Stamp of the joint state.
        joints: ``(7,)`` rad.
        pose: ``(7,)`` measured flange pose and gripper.
    """

    stamp: float
    images: np.ndarray
    skew: float
    oldest_image: float
    joint_stamp: float
    joints: np.ndarray
    pose: np.ndarray


def resize(image: np.ndarray, camera: CameraSpec) -> np.ndarray:
    """``image`` ``(H, W, 3)`` in the camera's size, averaging over pixels so that small objects survive."""
    if image.shape[:2] == (camera.height, camera.width):
        return image
    return cv2.resize(image, (camera.width, camera.height), interpolation=cv2.INTER_AREA)


class History:
    """Ring of frames, long enough for the spec's history. Not thread-safe: guard it with the node's lock."""

    def __init__(self, spec: PlannerSpec) -> None:
        self.spec = spec
        span = -min(spec.history_offsets) + 2
        self._frames: deque[Frame] = deque(maxlen=span * DENSITY)

    def add(self, sensors: SensorSet, pose: np.ndarray) -> bool:
        """Remember a look at the cell.

        Args:
            sensors: Synchronised frames and joints.
            pose: ``(7,)`` measured flange pose and gripper at ``sensors.joints``.

        Returns:
            False where it came sooner after the previous one than the ring can use, and was not kept.
        """
        if self._frames and sensors.stamp < self._frames[-1].stamp:
            self._frames.clear()  # the clock was set back
        if self._frames and sensors.stamp - self._frames[-1].stamp < 0.9 * self.spec.frame_period / DENSITY:
            return False
        images = np.stack([resize(sensors.images[camera.name], camera) for camera in self.spec.cameras])
        self._frames.append(
            Frame(
                stamp=sensors.stamp,
                images=images,
                skew=sensors.skew,
                oldest_image=min(sensors.image_stamps.values()),
                joint_stamp=sensors.joints.stamp,
                joints=sensors.joints.joints,
                pose=pose,
            )
        )
        return True

    @property
    def newest(self) -> Frame | None:
        """The newest frame, or None."""
        return self._frames[-1] if self._frames else None

    def observation(self) -> Observation:
        """The frames at the spec's offsets, ending at the newest one.

        Before the first frame the cell is taken as it was in the first one, so planning starts with the first look;
        later a missing frame is a gap in the recording and an error.

        Raises:
            HistoryError: There is no frame yet, or the cameras were interrupted (reason ``history_gap``).
        """
        if not self._frames:
            raise HistoryError(
                Reason.HISTORY_SHORT, "no synchronised frames yet: all cameras and the joints must publish"
            )
        period = self.spec.frame_period
        chosen: list[Frame] = []
        stamps: list[float] = []
        for offset in self.spec.history_offsets:
            wanted = self._frames[-1].stamp + offset * period
            frame = min(self._frames, key=lambda frame: abs(frame.stamp - wanted))
            before_first = frame is self._frames[0] and wanted < frame.stamp
            if abs(frame.stamp - wanted) > period / 2 and not before_first:
                raise HistoryError(
                    Reason.HISTORY_GAP,
                    f"no frame within {period / 2:.2f} s of {wanted:.3f} s (offset {offset}), but at {frame.stamp:.3f}",
                )
            chosen.append(frame)
            stamps.append(min(wanted, frame.stamp) if before_first else frame.stamp)
        return Observation(
            images=np.stack([frame.images for frame in chosen]),
            stamps=np.array(stamps),
            poses=np.stack([frame.pose for frame in chosen]),
            joints=chosen[-1].joints.copy(),
        )
