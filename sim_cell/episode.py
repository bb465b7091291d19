"""Records one episode in memory: views, true classes, object positions and the 15 Hz control steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_model.conventions import CONTROL_PERIOD
from robot_model.ros_names import CAMERAS
from sim_cell import behaviours
from sim_cell.cameras import Calibration
from sim_cell.cell import Cell, View
from sim_cell.errors import SimCellError
from sim_cell.hand import TICKS_PER_FRAME, Hand, Tick
from sim_cell.look import LOOKS, Look
from sim_cell.objects import BOWL, CLASSES
from sim_cell.recipe import Recipe
from sim_cell.truth import Truth

FRAMES = 45
FRAMES_AFTER_SUCCESS = 4
ATTEMPTS = 10
"""Scenes tried until an episode that has to succeed does."""
DEFAULT = Recipe()


@dataclass(frozen=True)
class Episode:
    """T frames at 5 Hz and N = 3 (T - 1) + 1 control steps at 15 Hz; frame k was taken at control step 3 k.

    Attributes:
        target: Name of the object of the instruction.
        behaviour: One of `behaviours.KINDS`.
        success: Whether the target lies in the bowl at the end.
        images: ``(T, V, h, w, 3)`` uint8 RGB in the order of `CAMERAS`.
        classes: ``(T, V, h//2, w//2)`` uint8 true class ids.
        object_positions: ``(T, n, 3)`` float32 metres, objects of ``CLASSES[1:-1]``; NaN when not on the table.
        joints: ``(N, 7)`` measured.
        poses: ``(N, 6)`` measured flange poses.
        gripper: ``(N,)`` measured.
        commanded_joints: ``(N, 7)``, to be reached one control period later.
        commanded_poses: ``(N, 6)`` flange poses of the commanded joints.
        commanded_gripper: ``(N,)``.
        commanded_velocities: ``(N, 7)`` rad/s, of the commanded joints.
        calibrations: Calibration of each camera.
    """

    target: str
    behaviour: str
    success: bool
    images: np.ndarray
    classes: np.ndarray
    object_positions: np.ndarray
    joints: np.ndarray
    poses: np.ndarray
    gripper: np.ndarray
    commanded_joints: np.ndarray
    commanded_poses: np.ndarray
    commanded_gripper: np.ndarray
    commanded_velocities: np.ndarray
    calibrations: dict[str, Calibration]


def record(
    cell: Cell, seed: int, index: int, look: str = "plain", longest: int = FRAMES, recipe: Recipe = DEFAULT
) -> Episode:
    """Simulate episode ``index`` of the data set ``seed``; depends on nothing else.

    The behaviour and the target go round robin over the index, everything else is drawn from (seed, index).

    Args:
        cell: Reset here.
        seed: Of the data set.
        index: Of the episode.
        look: One of `look.LOOKS`.
        longest: Most frames of an episode.
        recipe: What it is about.

    Raises:
        SimCellError: It has to succeed, and in none of `ATTEMPTS` scenes it did.
    """
    appearance = LOOKS[look](np.random.default_rng([seed, index, 1]))
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, index, 1 + attempt] if attempt else [seed, index])
        episode = _attempt(cell, rng, appearance, longest, recipe, *recipe.turn(index))
        if episode.success or not recipe.successes:
            return episode
    raise SimCellError(
        f"episode {index} of seed {seed} did not succeed in {ATTEMPTS} scenes: allow more frames, or failures"
    )


def _attempt(
    cell: Cell, rng: np.random.Generator, look: Look, longest: int, recipe: Recipe, kind: str, target: str
) -> Episode:
    cell.reset(rng, target, look, recipe.objects, recipe.count)
    hand, truth = Hand(cell), Truth(cell)
    behaviours.start(hand, kind, rng)
    moves = behaviours.behave(hand, kind, rng)

    frames: list[dict[str, View]] = []
    positions: list[np.ndarray] = []
    ticks: list[Tick] = []
    settled = 0
    while True:
        frames.append(cell.render())
        positions.append(_positions(cell))
        settled = settled + 1 if truth.success() else 0
        if len(frames) == longest or (kind == "pick" and settled > FRAMES_AFTER_SUCCESS):
            break
        ticks += hand.move(*next(moves))
    ticks.append(hand.idle_tick())
    assert len(ticks) == TICKS_PER_FRAME * (len(frames) - 1) + 1

    joints = np.stack([tick.joints for tick in ticks])
    commanded = np.stack([tick.commanded_joints for tick in ticks])
    previous = np.concatenate([joints[:1], commanded[:-1]])
    return Episode(
        target=target,
        behaviour=kind,
        success=truth.success(),
        images=np.stack([[frame[name].image for name in CAMERAS] for frame in frames]),
        classes=halve_classes(np.stack([[frame[name].classes for name in CAMERAS] for frame in frames])),
        object_positions=np.stack(positions),
        joints=joints,
        poses=hand.pose(joints),
        gripper=np.array([tick.gripper for tick in ticks]),
        commanded_joints=commanded,
        commanded_poses=hand.pose(commanded),
        commanded_gripper=np.array([tick.commanded_gripper for tick in ticks]),
        commanded_velocities=(commanded - previous) / CONTROL_PERIOD,
        calibrations=cell.calibrations(),
    )


def halve_classes(classes: np.ndarray) -> np.ndarray:
    """Class ids ``(..., h, w)`` at half the size; of the classes in a 2 x 2 block the one of the smallest thing wins.

    Objects win over the bowl, the bowl over the robot, all over the background: at this size a pea is two pixels wide.
    """
    rank = np.arange(len(CLASSES), 0, -1)  # CLASSES lists background first, then objects, bowl, robot
    rank[CLASSES.index("background")] = 0
    height, width = classes.shape[-2] // 2, classes.shape[-1] // 2
    blocks = classes[..., : 2 * height, : 2 * width].reshape(*classes.shape[:-2], height, 2, width, 2)
    blocks = np.moveaxis(blocks, -3, -2).reshape(*classes.shape[:-2], height, width, 4)
    winner = rank[blocks].argmax(-1)
    return np.take_along_axis(blocks, winner[..., None], axis=-1)[..., 0]


def _positions(cell: Cell) -> np.ndarray:
    rows = [cell.position(name) if name in (*cell.visible, BOWL) else np.full(3, np.nan) for name in CLASSES[1:-1]]
    return np.array(rows, dtype=np.float32)
