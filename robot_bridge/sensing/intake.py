"""What comes from the sensors: taken, or refused and said once per kind of trouble. Called in the sensors' thread."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_bridge.errors import ImageError
from robot_bridge.guard.reasons import Reason
from robot_bridge.sensing.arrivals import Arrivals
from robot_bridge.sensing.joint_states import JointReader
from robot_bridge.sensing.perception import Perception


class Intake:
    """Images and joint states on their way to perception.

    Attributes:
        cameras: Camera role -> what came from it.
        joints: The same of the joint states.
    """

    def __init__(
        self,
        config: BridgeConfig,
        perception: Perception,
        rejected: Counter[str],
        complain: Callable[[str, str], None],
    ) -> None:
        """Create it.

        Args:
            config: Cameras, robot.
            perception: Takes what is fit.
            rejected: Counts what is not, by reason.
            complain: Takes reason and detail of each new kind of trouble.
        """
        self.cameras = {role: Arrivals() for role in config.camera_topics}
        self.joints = Arrivals()
        self._perception, self._rejected, self._say = perception, rejected, complain
        self._reader = JointReader(config.robot)
        self._complaints: dict[str, str] = {}

    def image(self, camera: str, stamp: float, convert: Callable[[], np.ndarray]) -> None:
        """Take a picture.

        Args:
            camera: Its role.
            stamp: Seconds on the robot's clock.
            convert: Makes the RGB image ``(H, W, 3)``; raises ImageError.
        """
        try:
            image = convert()
        except ImageError as error:
            self._complain(f"camera '{camera}'", "image", str(error))
            return
        reason = self._perception.add_image(camera, stamp, image)
        if reason:
            self._complain(f"camera '{camera}'", reason.value, f"a frame was refused: {reason.value}")
        else:
            self.cameras[camera].add(stamp, (image.shape[0], image.shape[1]))

    def joint_state(
        self, stamp: float, names: Sequence[str], positions: Sequence[float], velocities: Sequence[float]
    ) -> None:
        """Take a joint state: all of the arm, or of something else."""
        sample = self._reader.read(stamp, names, positions, velocities)
        if sample is None:
            if self._reader.unknown:
                others = ", ".join(self._reader.unknown[:3])
                detail = f"no {self._reader.names[0]}.. in them, but {others} ..: is it the arm that robot says?"
                self._complain("joint states", Reason.JOINTS_MISSING.value, detail)
            return
        reason = self._perception.add_joints(sample)
        if reason:
            self._complain("joint states", reason.value, f"a joint state was refused: {reason.value}")
        else:
            self.joints.add(stamp)

    def _complain(self, where: str, reason: str, detail: str) -> None:
        self._rejected[reason] += 1
        if self._complaints.get(where) != reason:
            self._complaints[where] = reason
            self._say(reason, f"{where}: {detail}")
