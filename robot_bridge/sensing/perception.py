"""What the robot sees and feels: synchroniser and history behind one lock, filled by the sensor thread."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np

from plan_protocol.messages import Observation, PlannerSpec
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import HistoryError
from robot_bridge.guard.observation import Senses
from robot_bridge.guard.reasons import Reason
from robot_bridge.sensing.history import Frame, History
from robot_bridge.sensing.synchroniser import JointSample, SensorSet, Synchroniser
from robot_model.franka import franka
from robot_model.kinematics import ArmKinematics


class Perception:
    """Thread-safe: sensors write, the control tick reads."""

    def __init__(self, config: BridgeConfig, on_frame: Callable[[SensorSet, np.ndarray], None] | None = None) -> None:
        """Create it.

        Args:
            config: Cameras and tolerances.
            on_frame: Called in the sensor thread with each synchronised set and its measured pose ``(7,)``.
        """
        self._lock = threading.Lock()
        self._synchroniser = Synchroniser(tuple(config.camera_topics), config.sync_tolerance)
        self._history: History | None = None
        self._kinematics = ArmKinematics(franka(config.robot))
        self._on_frame = on_frame

    def follow_spec(self, spec: PlannerSpec) -> None:
        """Keep the history that this spec wants; the frames so far are kept where nothing about them changed."""
        with self._lock:
            old = self._history.spec if self._history else None
            if old is None or (old.cameras, old.history_offsets, old.frame_period) != (
                spec.cameras,
                spec.history_offsets,
                spec.frame_period,
            ):
                self._history = History(spec)

    def add_image(self, camera: str, stamp: float, image: np.ndarray) -> Reason | None:
        """Take an RGB frame ``(H, W, 3)``; returns why it was refused, or None."""
        with self._lock:
            refused = self._synchroniser.add_image(camera, stamp, image)
            self._take_sets()
            return refused

    def add_joints(self, sample: JointSample) -> Reason | None:
        """Take a joint state; returns why it was refused, or None."""
        with self._lock:
            refused = self._synchroniser.add_joints(sample)
            self._take_sets()
            return refused

    def _take_sets(self) -> None:
        sensors = self._synchroniser.take()
        if sensors is None:
            return
        pose = np.append(self._kinematics.forward_pose(sensors.joints.joints), sensors.joints.gripper)
        if self._history is not None:
            self._history.add(sensors, pose)
        if self._on_frame is not None:
            self._on_frame(sensors, pose)

    def joints(self) -> JointSample | None:
        """The newest joint state, or None."""
        with self._lock:
            return self._synchroniser.newest_joints()

    def senses(self, now: float) -> Senses:
        """How fresh everything is at ``now``."""
        with self._lock:
            joints = self._synchroniser.newest_joints()
            frame = self._history.newest if self._history else None
            return Senses(
                camera_ages=self._synchroniser.camera_ages(now),
                joint_age=now - joints.stamp if joints else math.inf,
                frame_age=now - frame.stamp if frame else math.inf,
                skew=frame.skew if frame else 0.0,
            )

    def newest_frame(self) -> Frame | None:
        """The newest synchronised frame in the planner's size, or None."""
        with self._lock:
            return self._history.newest if self._history else None

    def observation(self) -> Observation:
        """The frames the planner wants, ending at the newest.

        Raises:
            HistoryError: They are not all there.
        """
        with self._lock:
            if self._history is None:
                raise HistoryError(Reason.HISTORY_SHORT, "no planner has said yet which frames it wants")
            return self._history.observation()
