"""Where the point between the fingertips appears in each view: the desired centre c of the paper's centring term."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from models.cameras import Camera
from robot_model.conventions import PINCH_OFFSET, pose_to_matrix

NEAREST_DEPTH = 0.02
"""Metres before a camera at which a nearer point, or one behind it, is taken to be."""


def desired_centres(
    cameras: Sequence[Camera], image_size: tuple[int, int], poses: np.ndarray, beyond: ArrayLike = 0.0
) -> np.ndarray:
    """Image points of the pinch point for commanded flange poses, one per view.

    On a camera that rides on the flange this is one fixed point between the fingers, whatever the pose. Points outside
    the image are moved to its border, so that distances stay bounded.

    Args:
        cameras: The bundle's cameras, ``V`` of them. None are calibrated: the middle of the picture, for every view.
        image_size: Height and width of the pictures their matrices are for, pixels.
        poses: ``(..., 7)`` flange poses.
        beyond: Metres past the pinch point along the approach direction, one or ``(...)``: where to aim from afar.

    Returns:
        ``(..., V, 2)`` x and y in units of the image's **width**, origin at its upper left corner; V is 1 without
        cameras.
    """
    height, width = image_size
    if not cameras:
        return np.broadcast_to([0.5, 0.5 * height / width], (*poses.shape[:-1], 1, 2))
    aim = PINCH_OFFSET[:, 3] + np.asarray(beyond, dtype=float)[..., None] * PINCH_OFFSET[:, 2]
    centres = []
    for camera in cameras:
        # A camera on the flange never sees the flange move.
        flange = pose_to_matrix(np.zeros_like(poses) if camera.rides else poses)
        tool = (np.linalg.inv(np.array(camera.transform)) @ flange @ aim[..., None])[..., :3, 0]
        image = tool @ np.array(camera.matrix).T
        pixel = image[..., :2] / np.maximum(tool[..., 2:], NEAREST_DEPTH)
        centres.append(np.clip(pixel, 0.0, (width, height)) / width)
    return np.stack(centres, -2)
