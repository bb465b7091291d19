"""Relevance maps thrown onto the table: where what is looked for lies, in metres."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.cameras import Camera
from robot_model.conventions import pose_to_matrix

GRASP_PLANE = 0.02
"""Metres above the base's plane at which things that are grasped are taken to be."""


def on_table(
    relevance: np.ndarray, camera: Camera, image_size: tuple[int, int], pose: np.ndarray, region: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the region of highest relevance in one view lies.

    Args:
        relevance: ``(a, b)`` of this view.
        camera: Of the view.
        image_size: (rows, columns) of the pictures that its matrix is for.
        pose: ``(7,)`` flange pose at the picture, for a camera that rides on the arm.
        region: Share of the highest relevance from which a cell belongs to the region.

    Returns:
        Places ``(a, b, 2)`` of the cells, x and y in metres, and their weights ``(a, b)``, of sum one; None when
        nothing is relevant or the camera does not look at the table there.
    """
    rows, columns = relevance.shape
    y, x = np.mgrid[:rows, :columns] + 0.5
    pixels = np.stack([x * image_size[1] / columns, y * image_size[0] / rows, np.ones_like(x)], -1)
    mount = pose_to_matrix(pose[:6]) if camera.rides else np.eye(4)
    mount = mount @ np.array(camera.transform)
    rays = pixels @ (mount[:3, :3] @ np.linalg.inv(np.array(camera.matrix))).T
    depth = (GRASP_PLANE - mount[2, 3]) / np.where(rays[..., 2] < 0, rays[..., 2], -np.inf)
    weight = relevance * (relevance >= region * relevance.max()) * (depth > 0)
    if weight.sum() <= 0:
        return None
    return mount[:2, 3] + depth[..., None] * rays[..., :2], weight / weight.sum()


def place_of(
    relevance: np.ndarray,
    cameras: Sequence[Camera],
    image_size: tuple[int, int],
    pose: np.ndarray,
    visible: float,
    region: float,
) -> np.ndarray | None:
    """Where what is looked for lies, ``(2,)`` metres; None when no view shows it.

    The camera that rides on the arm is near, and tells alone where it sees the thing; else the fixed ones in the mean.

    Args:
        relevance: ``(V, a, b)``.
        cameras: V of them.
        image_size: See `on_table`.
        pose: See `on_table`.
        visible: Relevance from which an object counts as seen.
        region: See `on_table`.
    """
    found: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for place, camera in zip(_places(relevance, cameras, image_size, pose, visible, region), cameras, strict=False):
        if place is not None:
            found[camera.rides].append(place)
    nearest = found[True] or found[False]
    return np.mean(nearest, axis=0) if nearest else None


def metres_apart(
    one: np.ndarray,
    other: np.ndarray,
    cameras: Sequence[Camera],
    image_size: tuple[int, int],
    pose: np.ndarray,
    visible: float,
    region: float,
) -> float:
    """How far two things lie apart, in the mean over the views that show both; infinite where none does.

    Each view measures both with its own errors, which then cancel for what lies close together.

    Args:
        one: ``(V, a, b)`` relevance of the one thing.
        other: ``(V, a, b)`` relevance of the other.
        cameras: See `place_of`, as the rest.
        image_size: See `place_of`.
        pose: See `place_of`.
        visible: See `place_of`.
        region: See `place_of`.
    """
    pairs = zip(*(_places(seen, cameras, image_size, pose, visible, region) for seen in (one, other)), strict=True)
    apart = [float(np.linalg.norm(a - b)) for a, b in pairs if a is not None and b is not None]
    return float(np.mean(apart)) if apart else float("inf")


def _places(
    relevance: np.ndarray,
    cameras: Sequence[Camera],
    image_size: tuple[int, int],
    pose: np.ndarray,
    visible: float,
    region: float,
) -> list[np.ndarray | None]:
    """Where each view with a camera shows the thing, see `place_of`."""
    thrown = [
        on_table(seen, camera, image_size, pose, region) if seen.max() >= visible else None
        for seen, camera in zip(relevance, cameras, strict=False)
    ]
    return [None if found is None else (found[1][..., None] * found[0]).sum((0, 1)) for found in thrown]
