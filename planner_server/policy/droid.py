"""What openpi's DROID policies see and say: pictures and joints under DROID's keys, chunks of joint velocities.

A policy sees the first scene camera and the wrist camera (left eyes), 224x224 with black bars, measured joints [rad],
gripper (0 open .. 1 closed) and the instruction. It answers ``actions`` ``(N, 8)`` at 15 Hz: joint velocities (1.0 is
`STEP_ANGLE` per control step) and the gripper's position.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from planner_server.policy.errors import MessageError
from robot_model.adapter import STEP_ANGLE as STEP_ANGLE

EXTERIOR = "observation/exterior_image_1_left"
WRIST = "observation/wrist_image_left"
JOINTS = "observation/joint_position"
GRIPPER = "observation/gripper_position"
PROMPT = "prompt"
PICTURE = 224
"""Rows and columns of a picture."""
MAX_STEPS = 256
"""Longest chunk that is accepted, in control steps."""


def droid_observation(
    exterior: np.ndarray, wrist: np.ndarray, joints: np.ndarray, gripper: float, prompt: str
) -> dict[str, Any]:
    """An observation as openpi's DROID policies expect it.

    Args:
        exterior: ``(h, w, 3)`` uint8 RGB of the first scene camera.
        wrist: The same of the wrist camera.
        joints: ``(7,)`` rad.
        gripper: 0 open .. 1 closed.
        prompt: The instruction.
    """
    return {
        EXTERIOR: padded(exterior),
        WRIST: padded(wrist),
        JOINTS: np.asarray(joints, float),
        GRIPPER: np.array([gripper], float),
        PROMPT: prompt,
    }


def padded(image: np.ndarray, size: int = PICTURE) -> np.ndarray:
    """An image ``(h, w, 3)`` resized without distortion into the middle of a black square ``(size, size, 3)``."""
    (top, left), (rows, columns) = _place(image.shape[:2], size)
    square = np.zeros((size, size, 3), np.uint8)
    square[top : top + rows, left : left + columns] = _resized(image, (rows, columns))
    return square


def unpadded(square: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The image of ``shape`` (rows, columns) that `padded` put into a square; undoes the resizing, too."""
    (top, left), (rows, columns) = _place(shape, square.shape[0])
    return _resized(square[top : top + rows, left : left + columns], shape)


def checked_actions(answer: Mapping[Any, Any]) -> np.ndarray:
    """The actions ``(N, 8)`` of a policy's answer.

    Raises:
        MessageError: There are none, or not rows of eight finite numbers.
    """
    actions = answer.get("actions")
    if not isinstance(actions, np.ndarray) or actions.ndim != 2 or actions.shape[1] != 8:
        found = f"shape {actions.shape}" if isinstance(actions, np.ndarray) else f"keys {sorted(map(str, answer))}"
        raise MessageError(
            f"the policy must answer `actions` (N, 8), seven joint velocities and the gripper; got {found}. "
            "Serve a policy of DROID's joint velocities, e.g. pi05_droid"
        )
    if not 1 <= len(actions) <= MAX_STEPS or not np.isfinite(actions).all():
        raise MessageError(f"the policy answered {len(actions)} actions: need 1 to {MAX_STEPS}, all finite")
    return actions.astype(float)


def _place(shape: tuple[int, ...], size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    ratio = max(shape) / size
    rows, columns = int(shape[0] / ratio), int(shape[1] / ratio)
    return ((size - rows) // 2, (size - columns) // 2), (rows, columns)


def _resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    smaller = shape[0] < image.shape[0]
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
