"""From the cell's plain values to ROS messages and back."""

from __future__ import annotations

import array

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory

from robot_model.gripper import KNUCKLE_JOINT
from sim_cell.cameras import Calibration
from sim_cell.live import LiveCell
from sim_cell.trajectory import Trajectory, parse_trajectory


def stamp(nanoseconds: int) -> Time:
    """ROS time of the robot's clock."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def optical_frame(camera: str) -> str:
    """Frame id of a camera, as the ZED driver names it."""
    return f"zed_{camera}_left_camera_frame_optical"


def image_message(camera: str, picture: np.ndarray, when: Time) -> Image:
    """An ``(h, w, 3)`` uint8 RGB picture as bgra8, the encoding of a ZED."""
    height, width = picture.shape[:2]
    message = Image(height=height, width=width, encoding="bgra8", is_bigendian=0, step=4 * width)
    message.header.stamp, message.header.frame_id = when, optical_frame(camera)
    pixels = array.array("B")  # the message takes an array.array as it is; anything else is copied byte by byte
    pixels.frombytes(cv2.cvtColor(picture, cv2.COLOR_RGB2BGRA).tobytes())
    message.data = pixels
    return message


def camera_info_message(camera: str, calibration: Calibration, when: Time) -> CameraInfo:
    """Calibration of an undistorted camera."""
    width, height = calibration.size
    message = CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5)
    message.header.stamp, message.header.frame_id = when, optical_frame(camera)
    message.k = calibration.K.ravel()
    message.r = np.eye(3).ravel()
    message.p = np.hstack([calibration.K, np.zeros((3, 1))]).ravel()
    return message


def joint_state_message(live: LiveCell, when: Time) -> JointState:
    """The seven arm joints and the gripper's knuckle."""
    angle, rate = live.cell.knuckle()
    message = JointState(name=[*live.franka.joint_names, KNUCKLE_JOINT])
    message.header.stamp = when
    message.position = [*live.cell.joints().tolist(), angle]
    message.velocity = [*live.cell.joint_velocities().tolist(), rate]
    return message


def read_trajectory(message: JointTrajectory, live: LiveCell) -> Trajectory:
    """Check and convert a trajectory message.

    Raises:
        InvalidTrajectoryError: Says what is wrong.
    """
    points, start = message.points, message.header.stamp
    kinds = ("positions", "velocities", "accelerations")
    return parse_trajectory(
        live.franka,
        message.joint_names,
        [point.time_from_start.sec + point.time_from_start.nanosec * 1e-9 for point in points],
        [[getattr(point, kind) for point in points] for kind in kinds],
        start.sec + start.nanosec * 1e-9,
        live.time,
    )
