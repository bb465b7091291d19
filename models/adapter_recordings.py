"""Recorded joints and joint velocities at 15 Hz, cut into chunks an action adapter learns from.

Read from ``annotation/SPLIT/*.json`` of DROID's layout alone: no pictures are needed. Recordings of the simulated cell
(key ``vidplan``) have velocities in rad/s, DROID's are in its own units.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import DatasetError
from robot_model.adapter import STEP_ANGLE
from robot_model.conventions import CONTROL_PERIOD


@dataclass(frozen=True)
class Chunks:
    """Chunks of N steps, from every step of every episode on.

    Attributes:
        joints: ``(R, 7)`` float32 at the start, rad.
        velocities: ``(R, N, 7)`` float32 commanded in each step, DROID's units.
        reached: ``(R, N, 7)`` float32 measured after each step, rad.
        episodes: How many they are from.
    """

    joints: np.ndarray
    velocities: np.ndarray
    reached: np.ndarray
    episodes: int


def read_chunks(root: Path, split: str, steps: int) -> Chunks:
    """All chunks of a split. Episodes that cannot be used are skipped, and named on stderr with the reason.

    Raises:
        DatasetError: There is no such split, or no chunk in it.
    """
    folder = root / "annotation" / split
    if not folder.is_dir():
        raise DatasetError(f"{folder} does not exist; an adapter is trained on a folder of DROID episodes")
    parts = []
    for file in sorted(folder.glob("*.json")):
        try:
            joints, velocities = _rows(json.loads(file.read_text()))
            if len(joints) <= steps:
                raise ValueError(f"{len(joints)} steps, need more than {steps}")
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            print(f"{split}: {file.name} skipped: {error!r}", file=sys.stderr)
            continue
        starts = np.arange(len(joints) - steps)[:, None]
        ahead = starts + np.arange(steps)
        parts.append((joints[starts[:, 0]], velocities[ahead], joints[ahead + 1]))
    if not parts:
        raise DatasetError(
            f"no episode of {folder} has more than {steps} steps of observation.state.joint_position and "
            "action.joint_velocity at 15 Hz"
        )
    joints, velocities, reached = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    return Chunks(joints, velocities, reached, len(parts))


def _rows(values: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Joints and velocities ``(N, 7)`` of an episode, DROID's units."""
    joints = np.asarray(values["observation.state.joint_position"], np.float32)
    velocities = np.asarray(values["action.joint_velocity"], np.float32)
    if joints.ndim != 2 or joints.shape[1] != 7 or velocities.shape != joints.shape:
        raise ValueError(f"joints {joints.shape} and joint velocities {velocities.shape}, need (N, 7) both")
    if not (np.isfinite(joints).all() and np.isfinite(velocities).all()):
        raise ValueError("values that are not finite")
    if "vidplan" in values:
        velocities = velocities * np.float32(CONTROL_PERIOD / STEP_ANGLE)
    return joints, velocities
