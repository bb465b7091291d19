"""The plan being followed, to look at while it happens: path, markers, imagined video, uncertainty."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import Point, PoseStamped
from nav_msgs.msg import Path
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from plan_protocol.messages import Plan
from robot_bridge.config import BridgeConfig
from robot_bridge.events import Event
from robot_bridge.ros.messages import time_message
from robot_bridge.ros.topics import IMAGINED, MARKERS, PATH, UNCERTAINTY

JPEG_QUALITY = 90
LINE, THIN, BALL = 0.006, 0.002, 0.016
"""Widths of the chosen chunk's line, of the others', and of a waypoint's ball, metres."""
CLOSED = 0.5
"""Gripper value above which a waypoint's ball is drawn larger."""


class LivePlan:
    """Publishes what somebody looks at, and nothing else."""

    def __init__(self, config: BridgeConfig, publisher: Callable[[Any, str], Any]) -> None:
        """Make the publishers.

        Args:
            config: Which arm.
            publisher: Makes a publisher of a type on a topic, the newest message kept for latecomers.
        """
        self._frame = f"{config.robot}_link0"
        self._path = publisher(Path, PATH)
        self._markers = publisher(MarkerArray, MARKERS)
        self._imagined = publisher(CompressedImage, IMAGINED)
        self._uncertainty = publisher(CompressedImage, UNCERTAINTY)

    @property
    def frames_wanted(self) -> bool:
        """Somebody looks at the imagined pictures, which cost the server time."""
        return any(topic.get_subscription_count() for topic in (self._imagined, self._uncertainty))

    def show(self, told: Event, plan: Plan) -> None:
        """Publish a plan.

        Args:
            told: The bridge's event about it.
            plan: As it came.
        """
        header = Header(stamp=time_message(told["t"]), frame_id=self._frame)
        if told["accepted"]:
            times, poses = told["guarded_times"], np.array(told["guarded_poses"])
            if self._path.get_subscription_count():
                self._path.publish(path_message(header, times, poses))
            if self._markers.get_subscription_count():
                self._markers.publish(marker_message(header, poses, plan))
        if plan.imagination is not None:
            pictures = ((self._imagined, plan.imagination.frames), (self._uncertainty, plan.imagination.composites))
            for topic, frames in pictures:
                if topic.get_subscription_count():
                    topic.publish(CompressedImage(header=header, format="jpeg", data=jpeg(filmstrip(frames))))


def path_message(header: Header, times: list[float], poses: np.ndarray) -> Path:
    """Waypoints ``(H, 7)`` with their times as a path."""
    path = Path(header=header)
    for time, pose in zip(times, poses, strict=True):
        stamped = PoseStamped(header=Header(stamp=time_message(time), frame_id=header.frame_id))
        place, turn = stamped.pose.position, stamped.pose.orientation
        place.x, place.y, place.z = (float(value) for value in pose[:3])
        turn.x, turn.y, turn.z, turn.w = quaternion(pose)
        path.poses.append(stamped)
    return path


def marker_message(header: Header, poses: np.ndarray, plan: Plan) -> MarkerArray:
    """The chosen chunk as a line with balls, coloured by its uncertainty; the other candidates as thin grey lines."""
    clear = Marker(header=header, action=Marker.DELETEALL)
    colour = ColorRGBA(r=float(plan.uncertainty), g=0.2, b=1.0 - float(plan.uncertainty), a=1.0)
    chosen = _line(header, "chosen", 0, poses, LINE, colour)
    balls = []
    for number, pose in enumerate(poses):
        ball = Marker(header=header, ns="waypoints", id=number, type=Marker.SPHERE, color=colour)
        ball.scale.x = ball.scale.y = ball.scale.z = BALL * (1.5 if pose[6] > CLOSED else 1.0)
        ball.pose.position = _point(pose)
        balls.append(ball)
    grey = ColorRGBA(r=0.6, g=0.6, b=0.6, a=0.5)
    others = [
        _line(header, "candidates", number, candidate.poses, THIN, grey)
        for number, candidate in enumerate(plan.candidates)
        if number != plan.chosen
    ]
    return MarkerArray(markers=[clear, chosen, *balls, *others])


def filmstrip(frames: np.ndarray) -> np.ndarray:
    """Frames ``(H, C, h, w, 3)`` as one picture ``(C*h, H*w, 3)``: a row per camera, time to the right."""
    steps, cameras, height, width, _ = frames.shape
    return frames.transpose(1, 2, 0, 3, 4).reshape(cameras * height, steps * width, 3)


def jpeg(picture: np.ndarray) -> array[int]:
    """An RGB picture ``(h, w, 3)`` as a JPEG file, in the form that a message takes without a copy per byte."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return array("B", data.tobytes())


def quaternion(pose: np.ndarray) -> tuple[float, float, float, float]:
    """Rotation of a pose ``(7,)`` as x, y, z, w."""
    x, y, z, w = Rotation.from_euler("xyz", pose[3:6]).as_quat().tolist()
    return x, y, z, w


def _line(header: Header, group: str, number: int, poses: np.ndarray, width: float, colour: ColorRGBA) -> Marker:
    line = Marker(header=header, ns=group, id=number, type=Marker.LINE_STRIP, color=colour)
    line.scale.x = width
    line.pose.orientation.w = 1.0
    line.points = [_point(pose) for pose in poses]
    return line


def _point(pose: np.ndarray) -> Point:
    return Point(x=float(pose[0]), y=float(pose[1]), z=float(pose[2]))
