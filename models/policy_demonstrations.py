"""Which recorded episodes the cloned policy learns from, and what it learns of each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.data import Cached, Dataset
from models.droid_folder import STATES_PER_FRAME
from models.episodes import read_object_positions
from models.errors import DatasetError

TARGETS = ("carrot", "towel")
"""The paper's objects of the policy's distribution (Table 1)."""


@dataclass(frozen=True)
class Demonstrations:
    """Frames of the chosen episodes, N in all.

    Attributes:
        rows: ``(N,)`` of the data set's frames.
        joints: ``(N, 7)`` measured joints, rad.
        gripper: ``(N,)`` measured, 0 open .. 1 closed.
        actions: ``(N, steps, 8)`` commanded joint velocities [rad/s] at 15 Hz from the frame on, and gripper; after an
            episode's end the arm rests.
        places: ``(N, 6)`` metres from the flange to target and bowl, along the base frame's axes.
        named: ``(N, 2)`` classes of target and bowl in the segmentation.
        prompts: Instruction per frame.
        episodes: How many episodes these are.
    """

    rows: np.ndarray
    joints: np.ndarray
    gripper: np.ndarray
    actions: np.ndarray
    places: np.ndarray
    named: np.ndarray
    prompts: tuple[str, ...]
    episodes: int


def demonstrations(data: Dataset, steps: int, objects: int, targets: tuple[str, ...] = TARGETS) -> Demonstrations:
    """Successful picks of the targets in scenes with few objects.

    Args:
        data: A split of a simulated recording.
        steps: Actions of a chunk.
        objects: Most objects on the table beside the bowl, the target included.
        targets: Objects that are demonstrated.

    Raises:
        DatasetError: There is none, or an episode lacks the robot's 15 Hz record.
    """
    parts = [part for cached in data.episodes if (part := _episode(data, cached, steps, objects, targets))]
    if not parts:
        raise DatasetError(
            f"{data.root} ({data.split}) holds no successful pick of {' or '.join(targets)} in a scene of at most "
            f"{objects} objects; record more (vidplan sim record), or allow more objects (--objects)"
        )
    prompts = tuple(prompt for *_, prompt, count in parts for _ in range(count))
    rows, joints, gripper, actions, places, named = (np.concatenate([part[k] for part in parts]) for k in range(6))
    return Demonstrations(rows, joints, gripper, actions, places, named, prompts, len(parts))


def _episode(data: Dataset, cached: Cached, steps: int, objects: int, targets: tuple[str, ...]) -> tuple | None:
    episode = cached.episode
    if not episode.success or episode.target not in targets or episode.labels is None:
        return None
    positions = read_object_positions(episode.labels)
    if _objects(positions, data.classes) > objects:
        return None
    values = _annotation(data.root / "annotation" / data.split / f"{episode.name}.json")
    if values.get("vidplan", {}).get("behaviour") != "pick":
        return None
    try:
        joints = np.asarray(values["observation.state.joint_position"], np.float32)
        gripper = np.asarray(values["observation.state.gripper_position"], np.float32)
        velocities = np.asarray(values["action.joint_velocity"], np.float32)
        commanded = np.asarray(values["action.gripper_position"], np.float32)
        flange = np.asarray(values["observation.state.cartesian_position"], np.float32)[:, :3]
    except (KeyError, ValueError) as error:
        raise DatasetError(f"episode {episode.name} of {data.root} lacks or garbles {error}") from error
    ticks = STATES_PER_FRAME * np.arange(cached.length)
    resting = np.concatenate([velocities, np.zeros((steps, 7), np.float32)])
    holding = np.concatenate([commanded, np.repeat(commanded[-1:], steps)])
    ahead = ticks[:, None] + np.arange(steps)
    actions = np.concatenate([resting[ahead], holding[ahead][..., None]], axis=-1)
    rows = np.arange(cached.start, cached.start + cached.length)
    named = np.array([data.classes.index(name) for name in (episode.target, "bowl")])
    places = (positions[: cached.length, named - 1] - flange[ticks, None]).reshape(-1, 6)
    classes = np.tile(named, (cached.length, 1))
    return rows, joints[ticks], gripper[ticks], actions, places, classes, episode.text, cached.length


def _objects(positions: np.ndarray, classes: tuple[str, ...]) -> int:
    """Objects on the table in the first frame of ``(T, n, 3)``, the bowl left out."""
    there = np.isfinite(positions[0]).all(-1)
    return sum(bool(found) for name, found in zip(classes[1:], there, strict=False) if name != "bowl")


def _annotation(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file} is not readable any more: {error}") from error
