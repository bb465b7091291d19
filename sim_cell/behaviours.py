"""What the arm does while episodes are recorded: a mixture wide enough that a world model learns what actions do.

A behaviour is a generator of `Move`s, one per video frame. It may look at the true state: these are recordings, not
plans.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

import numpy as np

from robot_model.conventions import VIDEO_PERIOD
from sim_cell.cell import HOME_JOINTS
from sim_cell.hand import REACH_YAW, Hand
from sim_cell.objects import BOWL, OBJECT
from sim_cell.truth import Truth

KINDS = ("pick", "chunks", "mixed")
UP = np.array([0.0, 0.0, 1.0])
STILL = np.zeros(3)
HOVER = 0.12  # metres above the table from which an object is approached
CARRY, RELEASE = 0.18, 0.115  # metres: height of the pinch point above the bowl's foot
CLOSE_FRAMES, OPEN_FRAMES = 3, 2
TURN_PER_FRAME = 0.35  # radians
PERTURBATION = 0.014  # metres, of a pick that may fail
TREMBLE = 0.002  # metres, noise on every commanded step


class Move(NamedTuple):
    """One video frame of motion: ``step`` (3,) metres, ``turn`` radians, gripper 0 open .. 1 closed."""

    step: np.ndarray
    turn: float
    gripper: float


def start(hand: Hand, kind: str, rng: np.random.Generator) -> None:
    """Put the arm at a random start: often near the home posture, else anywhere above the table."""
    gripper = 1.0 if kind != "pick" and rng.random() < 0.15 else 0.0
    if rng.random() < 0.3:
        hand.start_at_joints(HOME_JOINTS + rng.normal(0, 0.03, 7), gripper)
    else:
        hand.start_at(rng.uniform([0.34, -0.26, 0.12], [0.62, 0.26, 0.33]), rng.uniform(-0.7, 0.7), gripper)


def behave(hand: Hand, kind: str, rng: np.random.Generator) -> Iterator[Move]:
    """Endless moves of one of `KINDS`: scripted picks of the target, straight chunks, or a mixture of everything."""
    if kind == "pick":
        while True:
            yield from pick(hand, rng, hand.cell.target, PickNoise(0.002, 0.0))
    while True:
        if kind == "chunks":
            yield from chunk(hand, rng)
            continue
        name = hand.cell.target if rng.random() < 0.5 else str(rng.choice([*hand.cell.visible, *hand.cell.strangers]))
        choice = rng.choice(["chunk", "hover", "pick", "push", "fumble"], p=[0.25, 0.2, 0.3, 0.15, 0.1])
        if choice == "chunk":
            yield from chunk(hand, rng)
        elif choice == "hover":
            yield from hover(hand, rng, name)
        elif choice == "push":
            yield from push(hand, rng, name)
        elif choice == "fumble":
            yield from fumble(hand, rng, name)
        else:
            yield from pick(hand, rng, name, PickNoise(PERTURBATION, 0.3))


def chunk(hand: Hand, rng: np.random.Generator) -> Iterator[Move]:
    """A straight motion along an axis or any direction, sometimes turning, sometimes ending with the gripper."""
    if rng.random() < 0.65:
        direction = np.eye(3)[rng.integers(3)] * rng.choice([-1.0, 1.0])
    else:
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
    if hand.position[2] > 0.2 and rng.random() < 0.35:
        direction = -UP  # most of what matters happens near the table
    speed = 0.0 if rng.random() < 0.06 else rng.uniform(0.05, 0.25)
    turn = rng.normal(0, 0.15) if rng.random() < 0.15 else 0.0
    for _ in range(rng.integers(3, 8)):
        yield Move(direction * speed * VIDEO_PERIOD + rng.normal(0, TREMBLE, 3), turn, hand.gripper)
    if rng.random() < 0.25:
        yield Move(STILL, 0.0, 1.0 - hand.gripper)


def hover(hand: Hand, rng: np.random.Generator, name: str) -> Iterator[Move]:
    """Go above an object and wait there for a moment."""
    height, speed = rng.uniform(0.06, 0.18), rng.uniform(0.08, 0.25)
    yield from go_to(hand, rng, lambda: above(hand, name, height), speed)
    for _ in range(rng.integers(0, 4)):
        yield Move(rng.normal(0, TREMBLE, 3), 0.0, hand.gripper)


def push(hand: Hand, rng: np.random.Generator, name: str) -> Iterator[Move]:
    """Go down beside an object and through it sideways."""
    angle, gripper = rng.uniform(-np.pi, np.pi), float(rng.random() < 0.6)
    direction = np.array([np.cos(angle), np.sin(angle), 0.0])
    low, speed = rng.uniform(0.025, 0.04), rng.uniform(0.06, 0.2)
    yield Move(STILL, 0.0, gripper)
    yield from go_to(hand, rng, lambda: above(hand, name, HOVER) - 0.09 * direction, 0.2)
    yield from go_to(hand, rng, lambda: above(hand, name, low) - 0.09 * direction, 0.15)
    for _ in range(rng.integers(4, 8)):
        yield Move(direction * speed * VIDEO_PERIOD, 0.0, gripper)
    yield from go_to(hand, rng, lambda: hand.position * [1, 1, 0] + 0.16 * UP, 0.2, frames=6)


class PickNoise(NamedTuple):
    """How badly a pick aims: standard deviation [m] on the table, and how often the yaw is left as it is."""

    position: float
    wrong_yaw: float


def pick(hand: Hand, rng: np.random.Generator, name: str, noise: PickNoise) -> Iterator[Move]:
    """Grasp an object and put it into the bowl, or away when it is in there already."""
    if name in Truth(hand.cell).in_bowl():
        yield from go_to(hand, rng, lambda: above(hand, BOWL, 0.25), 0.15, frames=5)
        return
    held = yield from grasp(hand, rng, name, noise)
    if held is None:
        yield Move(STILL, 0.0, 0.0)
        return
    yield from go_to(hand, rng, lambda: above(hand, BOWL, CARRY) - held, rng.uniform(0.15, 0.25))
    yield from go_to(hand, rng, lambda: above(hand, BOWL, RELEASE) - held, 0.15)
    for _ in range(OPEN_FRAMES):
        yield Move(STILL, 0.0, 0.0)
    yield from go_to(hand, rng, lambda: above(hand, BOWL, 0.22), 0.2, frames=5)


def fumble(hand: Hand, rng: np.random.Generator, name: str) -> Iterator[Move]:
    """Grasp an object, carry it anywhere and let it fall."""
    yield from grasp(hand, rng, name, PickNoise(PERTURBATION / 2, 0.1))
    for _ in range(rng.integers(1, 3)):
        yield from chunk(hand, rng)
    for _ in range(OPEN_FRAMES):
        yield Move(STILL, 0.0, 0.0)


def grasp(
    hand: Hand, rng: np.random.Generator, name: str, noise: PickNoise
) -> Generator[Move, None, np.ndarray | None]:
    """Go down on an object, close and lift; returns where it hangs from the hand ``(3,)``, None when it slipped out."""
    spec, axes = OBJECT[name], hand.cell.axes(name)
    aim = np.array([*rng.normal(0, noise.position, 2), 0.0]) + spec.grasp_shift * axes[:, 0] * [1, 1, 0]
    yaw = hand.yaw if rng.random() < noise.wrong_yaw else grasp_yaw(axes, spec.turns, hand.yaw)
    if hand.gripper > 0.5:
        yield Move(STILL, 0.0, 0.0)
    yield from go_to(hand, rng, lambda: above(hand, name, HOVER) + aim, rng.uniform(0.15, 0.25), yaw)
    yield from go_to(hand, rng, lambda: above(hand, name, spec.grasp_height) + aim, rng.uniform(0.12, 0.2), yaw)
    yield Move(STILL, 0.0, 0.0)
    for _ in range(CLOSE_FRAMES):
        yield Move(STILL, 0.0, 1.0)
    lifted = hand.position + rng.uniform(0.12, 0.18) * UP
    yield from go_to(hand, rng, lambda: lifted, rng.uniform(0.15, 0.25))
    held = hand.cell.position(name) - hand.position
    return None if np.linalg.norm(held) > 0.05 else held * [1, 1, 0]


def go_to(
    hand: Hand,
    rng: np.random.Generator,
    goal: Callable[[], np.ndarray],
    speed: float,
    yaw: float | None = None,
    frames: int = 25,
) -> Iterator[Move]:
    """Move straight to ``goal()`` (asked anew every frame) at ``speed`` m/s, turning to ``yaw`` on the way."""
    for _ in range(frames):
        way = goal() - hand.position
        distance = float(np.linalg.norm(way))
        turn = 0.0 if yaw is None else float(np.clip(yaw - hand.yaw, -TURN_PER_FRAME, TURN_PER_FRAME))
        if distance < 0.003 and abs(turn) < 0.03:
            return
        step = way * min(1.0, speed * VIDEO_PERIOD / max(distance, 1e-6))
        if distance > 0.04:
            step = step + rng.normal(0, TREMBLE, 3)
        yield Move(step, turn, hand.gripper)


def above(hand: Hand, name: str, height: float) -> np.ndarray:
    """The point ``height`` above the table over an object."""
    return hand.cell.position(name) * [1, 1, 0] + height * UP


def grasp_yaw(axes: np.ndarray, turns: int, present: float) -> float:
    """Yaw of a gripper that grasps across the object's long axis, the nearest one to ``present`` within reach."""
    if turns == 0:
        return present
    long_axis = np.arctan2(axes[1, 0], axes[0, 0])
    options = long_axis + 2 * np.pi / turns * np.arange(-turns, turns + 1)
    return float(min(options[np.abs(options) <= REACH_YAW], key=lambda yaw: abs(yaw - present)))
