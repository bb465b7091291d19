"""Situations to ask "what if" in: scripted ways into a state worth planning from, and what a script would do next."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from sim_cell import behaviours
from sim_cell.behaviours import CARRY, PERTURBATION, RELEASE, Move, PickNoise, above
from sim_cell.hand import Hand
from sim_cell.objects import BOWL, OBJECT

KINDS = ("far", "near", "held")
NEAR = 0.15
"""Metres between the pinch point and where the target would be grasped that separate `near` from `far`."""
IN_HAND = 0.05
"""Metres between the pinch point and the origin of an object that the fingers hold."""


def approach(hand: Hand, kind: str, rng: np.random.Generator) -> Iterator[Move]:
    """Put the arm somewhere and yield the moves that lead to a situation of `KINDS`; check the end with `reached`."""
    target = hand.cell.target
    if kind == "near":
        offset = np.array([*rng.uniform(-0.06, 0.06, 2), rng.uniform(0.09, 0.16)])
        hand.start_at(above(hand, target, 0.0) + offset, rng.uniform(-0.7, 0.7), 0.0)
        aim = _aim(rng)
        way_down = behaviours.go_to(hand, rng, lambda: grasp_point(hand) + aim, rng.uniform(0.06, 0.15))
        yield from islice(way_down, int(rng.integers(1, 6)))
        return
    hand.start_at(rng.uniform([0.34, -0.26, 0.12], [0.62, 0.26, 0.33]), rng.uniform(-0.7, 0.7), 0.0)
    if kind == "far":
        yield from islice(behaviours.chunk(hand, rng), int(rng.integers(1, 4)))
        return
    yield from behaviours.grasp(hand, rng, target, PickNoise(0.002, 0.0))
    yield from islice(_carry(hand, rng, np.zeros(3)), int(rng.integers(0, 4)))


def reached(hand: Hand, kind: str) -> bool:
    """Whether the moves of `approach` led where they should: a grasp may fail, a random motion may come near."""
    if kind == "held":
        off_the_table = hand.cell.position(hand.cell.target)[2] > OBJECT[hand.cell.target].height + 0.02
        in_hand = np.linalg.norm(hand.cell.position(hand.cell.target) - hand.cell.pinch()) < IN_HAND
        return bool(off_the_table and in_hand)
    distance = float(np.linalg.norm(grasp_point(hand) - hand.cell.pinch()))
    return (distance < NEAR) == (kind == "near")


def onward(hand: Hand, kind: str, rng: np.random.Generator) -> Iterator[Move]:
    """What a script that aims as badly as a perturbed pick would do next: reach and close, or carry and let go."""
    aim = _aim(rng)
    if kind == "held":
        yield from _carry(hand, rng, aim)
        yield from behaviours.go_to(hand, rng, lambda: above(hand, BOWL, RELEASE) + aim, 0.15)
        gripper = 0.0
    else:
        axes, turns = hand.cell.axes(hand.cell.target), OBJECT[hand.cell.target].turns
        yaw = behaviours.grasp_yaw(axes, turns, hand.yaw)
        yield from behaviours.go_to(hand, rng, lambda: grasp_point(hand) + aim, rng.uniform(0.12, 0.2), yaw)
        gripper = 1.0
    while True:
        yield Move(behaviours.STILL, 0.0, gripper)


def grasp_point(hand: Hand) -> np.ndarray:
    """Where ``(3,)`` the pinch point has to be for the target to be grasped, metres."""
    target = hand.cell.target
    along = OBJECT[target].grasp_shift * hand.cell.axes(target)[:, 0] * [1, 1, 0]
    return above(hand, target, OBJECT[target].grasp_height) + along


def release_point(hand: Hand) -> np.ndarray:
    """Where ``(3,)`` something held has to be for it to fall into the bowl, metres."""
    return above(hand, BOWL, RELEASE)


def _carry(hand: Hand, rng: np.random.Generator, aim: np.ndarray) -> Iterator[Move]:
    return behaviours.go_to(hand, rng, lambda: above(hand, BOWL, CARRY) + aim, rng.uniform(0.15, 0.25))


def _aim(rng: np.random.Generator) -> np.ndarray:
    return np.array([*rng.normal(0, PERTURBATION, 2), 0.0])
