"""The three cameras: where they are, and their calibration in the convention of OpenCV.

MuJoCo's cameras look along -z with y up; everything outside this file sees OpenCV's: x right, y down, z forward.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

FLANGE_FROM_LINK7 = 0.107  # metres along z, Franka data sheet

SCENE_POSITION = np.array([0.18, 0.54, 0.52])  # left; right is its mirror image
SCENE_TARGET = np.array([0.48, 0.0, 0.07])
SCENE_FOVY = 43.0
WRIST_POSITION = np.array([0.075, 0.0, 0.015])  # on the gripper's base, beside the fingers
WRIST_TILT = np.radians(18.0)
WRIST_FOVY = 62.0

OPENCV_FROM_MUJOCO = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class Calibration:
    """One camera as a planner needs it.

    Attributes:
        K: ``(3, 3)`` intrinsics in pixels; pixel i covers [i, i+1), so the optical centre of a view is (w/2, h/2).
        size: (width, height) in pixels.
        pose: ``(4, 4)`` transform camera -> parent, OpenCV camera frame.
        parent: "base" (scene cameras) or "flange" (wrist camera).
    """

    K: np.ndarray
    size: tuple[int, int]
    pose: np.ndarray
    parent: str


def add_cameras(spec: mujoco.MjSpec) -> None:
    """Add ``left``, ``right`` (world) and ``wrist`` (gripper base) to the scene."""
    mirror = np.array([1.0, -1.0, 1.0])
    for name, position in (("left", SCENE_POSITION), ("right", SCENE_POSITION * mirror)):
        back = position - SCENE_TARGET
        back /= np.linalg.norm(back)
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        axes = np.stack([right, np.cross(back, right), back], axis=1)
        spec.worldbody.add_camera(name=name, pos=position, quat=_quaternion(axes), fovy=SCENE_FOVY)
    back = np.array([np.sin(WRIST_TILT), 0.0, -np.cos(WRIST_TILT)])
    right = np.array([0.0, 1.0, 0.0])
    axes = np.stack([right, np.cross(back, right), back], axis=1)
    spec.body("base").add_camera(name="wrist", pos=WRIST_POSITION, quat=_quaternion(axes), fovy=WRIST_FOVY)


def calibrate(model: mujoco.MjModel, data: mujoco.MjData, name: str, width: int, height: int) -> Calibration:
    """Calibration of the camera ``name`` for views of ``width`` x ``height``; ``data`` must hold current kinematics."""
    camera = model.camera(name).id
    focal = 0.5 * height / np.tan(np.radians(model.cam_fovy[camera]) / 2)
    intrinsics = np.array([[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]])
    pose = _transform(data.cam_xmat[camera].reshape(3, 3) @ OPENCV_FROM_MUJOCO, data.cam_xpos[camera])
    parent = "base"
    if name == "wrist":
        parent = "flange"
        pose = np.linalg.inv(flange_transform(data)) @ pose
    return Calibration(intrinsics, (width, height), pose, parent)


def flange_transform(data: mujoco.MjData) -> np.ndarray:
    """``(4, 4)`` pose of the flange link8 in the base frame, straight from the physics."""
    link7 = data.body("link7")
    rotation = link7.xmat.reshape(3, 3)
    return _transform(rotation, link7.xpos + FLANGE_FROM_LINK7 * rotation[:, 2])


def _transform(rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, position
    return matrix


def _quaternion(axes: np.ndarray) -> np.ndarray:
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, np.ascontiguousarray(axes).ravel())
    return quaternion
