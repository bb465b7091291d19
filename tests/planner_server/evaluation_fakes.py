"""A simulator whose outcomes follow from arithmetic: the arm goes exactly where it is told, the carrot lies still."""

from __future__ import annotations

import numpy as np
from planner_fakes import CAMERAS, SIZE, START, H
from planner_fakes import VIEWS as VIEW_NAMES

from planner_server.evaluation.simulator import Outcomes, Situation
from planner_server.evaluation.truth import image_points
from robot_model.conventions import DROID_RESET_JOINTS, PINCH_OFFSET, pose_to_matrix

NAMES = ("background", "carrot", "bowl", "robot")
CARROT = np.array([0.45, 0.12, 0.3])


def tool(poses: np.ndarray) -> np.ndarray:
    return (pose_to_matrix(poses) @ PINCH_OFFSET)[..., :3, 3]


def situation(kind: str = "far") -> Situation:
    return Situation(
        kind=kind,
        seed=1,
        target="carrot",
        images=np.zeros((2, 3, *SIZE, 3), np.uint8),
        poses=np.stack([START, START]),
        joints=np.array(DROID_RESET_JOINTS),
        commanded_joints=np.array(DROID_RESET_JOINTS),
        nominal=np.tile(START, (H, 1)),
        classes=painted(START[None], CARROT[None])[0],
        class_names=NAMES,
        tool=tool(START),
        object=CARROT,
        grasp_point=CARROT,
        release_point=np.array([0.6, -0.1, 0.115]),
    )


def painted(poses: np.ndarray, carrots: np.ndarray) -> np.ndarray:
    """Class maps ``(N, V, h, w)`` with a carrot of 4 x 4 pixels where each camera sees it."""
    points = image_points(CAMERAS, SIZE, poses, carrots) * SIZE[1]
    classes = np.zeros((len(poses), len(VIEW_NAMES), *SIZE), np.uint8)
    for frame in range(len(poses)):
        for view in range(len(VIEW_NAMES)):
            x, y = points[frame, view].round().astype(int)
            classes[frame, view, max(y - 2, 0) : y + 2, max(x - 2, 0) : x + 2] = NAMES.index("carrot")
    return classes


def outcomes(chunks: np.ndarray, carrots: np.ndarray) -> Outcomes:
    """What happens when chunks ``(N, H, 7)`` are followed exactly while the carrot is at ``(N, H, 3)``."""
    classes = np.stack([painted(chunk, positions) for chunk, positions in zip(chunks, carrots, strict=True)])
    release = np.broadcast_to(situation().release_point, carrots.shape)
    return Outcomes(chunks, classes, tool(chunks), carrots, carrots, release)


def flights() -> tuple[np.ndarray, np.ndarray]:
    """Two chunks, to the carrot and away from it, and the carrot at rest."""
    way = CARROT - tool(START)
    chunks = np.tile(START, (2, H, 1))
    chunks[:, :, :3] += np.array([1.0, -1.0])[:, None, None] * np.arange(1, H + 1)[:, None] / H * way
    return chunks, np.broadcast_to(CARROT, (2, H, 3))
