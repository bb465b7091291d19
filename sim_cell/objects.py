"""The objects on the table: shape, colour, and how a hand may grasp each.

Every object body has its origin near its middle and its long side along x, so that a gripper whose fingers close along
the body's y grasps it. Sizes are toy sizes: large enough to be seen by the scene cameras, small enough for the bowl.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np

BOX, SPHERE, CAPSULE, CYLINDER, ELLIPSOID = (
    mujoco.mjtGeom.mjGEOM_BOX,
    mujoco.mjtGeom.mjGEOM_SPHERE,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID,
)

# Contact that holds: stiff, and with torsional friction (condim 4) so that a grasped object does not turn in the hand.
CONTACT = {"condim": 4, "friction": [0.9, 0.01, 0.0005], "solref": [0.005, 1], "solimp": [0.95, 0.99, 0.001, 0.5, 2]}
ROLLING_CONTACT = {**CONTACT, "condim": 6, "friction": [0.9, 0.01, 0.002]}  # lets a ball come to rest
VISUAL = {"contype": 0, "conaffinity": 0, "mass": 0}
HIDDEN_GROUP = 3  # not rendered
LYING_Y = [np.sqrt(0.5), np.sqrt(0.5), 0, 0]  # turns a cylinder's axis from z to y

BOWL_COLOUR = [0.80, 0.90, 0.93, 1]
BOWL_BASE_RADIUS, BOWL_RIM_RADIUS, BOWL_HEIGHT, BOWL_STAVES = 0.052, 0.082, 0.05, 16


@dataclass(frozen=True)
class ObjectSpec:
    """One kind of object.

    Attributes:
        name: The phrase an instruction uses.
        add_geoms: Adds the shape to a body of the scene.
        height: Height [m] of the body's origin when it lies on the table.
        grasp_height: Height [m] of the pinch point above the table when grasping.
        grasp_shift: Offset [m] of the grasp along the body's x.
        turns: Number of equivalent gripper yaws in a full turn: 2 along an axis, 4 for a cube, 0 for any.
        distractor: True when it is never part of a task of the DROID set.
    """

    name: str
    add_geoms: Callable[[mujoco.MjsBody], None]
    height: float
    grasp_height: float
    grasp_shift: float = 0.0
    turns: int = 2
    distractor: bool = False


def _tape(body: mujoco.MjsBody) -> None:
    body.add_geom(type=BOX, size=[0.032, 0.018, 0.028], rgba=[0.97, 0.82, 0.08, 1], density=450, **CONTACT)
    for side in (-1, 1):
        disc = {"pos": [0, side * 0.0185, 0.003], "size": [0.018, 0.001, 0], "quat": LYING_Y}
        body.add_geom(type=CYLINDER, rgba=[0.1, 0.1, 0.1, 1], **disc, **VISUAL)


def _fish(body: mujoco.MjsBody) -> None:
    blue, dark = [0.12, 0.32, 0.85, 1], [0.08, 0.22, 0.62, 1]
    body.add_geom(type=ELLIPSOID, size=[0.048, 0.019, 0.024], rgba=blue, **VISUAL)
    # Flat pads squeeze an ellipsoid out of the hand: a hidden box is what they grasp.
    body.add_geom(type=BOX, size=[0.036, 0.016, 0.0225], group=HIDDEN_GROUP, density=400, **CONTACT)
    body.add_geom(type=ELLIPSOID, pos=[-0.056, 0, 0], size=[0.017, 0.007, 0.0235], rgba=dark, density=200, **CONTACT)
    for side in (-1, 1):
        eye = {"pos": [0.032, side * 0.0125, 0.008], "size": [0.0045, 0, 0]}
        body.add_geom(type=SPHERE, rgba=[1, 1, 1, 1], **eye, **VISUAL)


def _pea(body: mujoco.MjsBody) -> None:
    body.add_geom(type=SPHERE, size=[0.019, 0, 0], rgba=[0.32, 0.78, 0.16, 1], density=500, **ROLLING_CONTACT)


def _carrot(body: mujoco.MjsBody) -> None:
    orange = [0.97, 0.45, 0.05, 1]
    for start, end, radius in ((-0.045, -0.012, 0.018), (-0.018, 0.022, 0.0155), (0.018, 0.052, 0.011)):
        line = [start, 0, 0, end, 0, 0]
        body.add_geom(type=CAPSULE, fromto=line, size=[radius, 0, 0], rgba=orange, density=400, **CONTACT)
    leaf = {"pos": [-0.074, 0, 0], "size": [0.018, 0.009, 0.009]}
    body.add_geom(type=ELLIPSOID, rgba=[0.12, 0.5, 0.14, 1], density=100, **leaf, **CONTACT)


def _towel(body: mujoco.MjsBody) -> None:
    """A small towel folded three times: four layers with rounded edges, each a little off its neighbour."""
    layers = ((0.000, -0.0165, 0.92), (0.003, -0.0055, 1.0), (-0.002, 0.0055, 0.92), (0.002, 0.0165, 1.0))
    for shift, level, shade in layers:
        pink = [0.93 * shade, 0.36 * shade, 0.62 * shade, 1]
        body.add_geom(type=BOX, pos=[shift, 0, level], size=[0.044, 0.0215, 0.0055], rgba=pink, density=130, **CONTACT)
        fold = [shift + 0.044, -0.0215, level, shift + 0.044, 0.0215, level]
        body.add_geom(type=CAPSULE, fromto=fold, size=[0.0055, 0, 0], rgba=pink, **VISUAL)


def _cube(body: mujoco.MjsBody) -> None:
    body.add_geom(type=BOX, size=[0.02, 0.02, 0.02], rgba=[0.82, 0.08, 0.08, 1], density=400, **CONTACT)


def _cup(body: mujoco.MjsBody) -> None:
    """A cup seen from outside: solid, with a dark disc for its mouth."""
    body.add_geom(type=CYLINDER, size=[0.026, 0.03, 0], rgba=[0.45, 0.18, 0.72, 1], density=250, **CONTACT)
    mouth = {"pos": [0, 0, 0.0302], "size": [0.021, 0.0005, 0]}
    body.add_geom(type=CYLINDER, rgba=[0.16, 0.06, 0.28, 1], **mouth, **VISUAL)


OBJECTS = (
    ObjectSpec("measuring tape", _tape, height=0.028, grasp_height=0.030),
    ObjectSpec("fish", _fish, height=0.0235, grasp_height=0.024),
    ObjectSpec("pea", _pea, height=0.019, grasp_height=0.022, turns=0),
    ObjectSpec("carrot", _carrot, height=0.018, grasp_height=0.019, grasp_shift=-0.010),
    ObjectSpec("towel", _towel, height=0.022, grasp_height=0.026),
    ObjectSpec("red cube", _cube, height=0.020, grasp_height=0.022, turns=4, distractor=True),
    ObjectSpec("purple cup", _cup, height=0.030, grasp_height=0.038, turns=0, distractor=True),
)


def _banana(body: mujoco.MjsBody) -> None:
    yellow = [0.93, 0.86, 0.30, 1]
    for a, b in ((-50, -18), (-18, 18), (18, 50)):
        ends = [(0.075 * np.sin(np.radians(t)), 0.075 * (1 - np.cos(np.radians(t))) - 0.012, 0.0) for t in (a, b)]
        body.add_geom(
            type=CAPSULE, fromto=[*ends[0], *ends[1]], size=[0.015, 0, 0], rgba=yellow, density=400, **CONTACT
        )


def _pumpkin(body: mujoco.MjsBody) -> None:
    """Orange like the carrot, but round."""
    body.add_geom(type=SPHERE, size=[0.026, 0, 0], rgba=[0.90, 0.50, 0.12, 1], density=300, **ROLLING_CONTACT)
    stalk = {"pos": [0, 0, 0.027], "size": [0.005, 0.006, 0]}
    body.add_geom(type=CYLINDER, rgba=[0.30, 0.26, 0.10, 1], **stalk, **VISUAL)


def _striped_box(body: mujoco.MjsBody) -> None:
    body.add_geom(type=BOX, size=[0.036, 0.019, 0.03], rgba=[0.95, 0.95, 0.95, 1], density=300, **CONTACT)
    for x in (-0.024, 0.0, 0.024):
        stripe = {"pos": [x, 0, 0], "size": [0.006, 0.0195, 0.0305]}
        body.add_geom(type=BOX, rgba=[0.05, 0.05, 0.05, 1], **stripe, **VISUAL)


def _teal_can(body: mujoco.MjsBody) -> None:
    body.add_geom(type=CYLINDER, size=[0.025, 0.045, 0], rgba=[0.05, 0.55, 0.52, 1], density=250, **CONTACT)
    lid = {"pos": [0, 0, 0.0455], "size": [0.022, 0.0005, 0]}
    body.add_geom(type=CYLINDER, rgba=[0.75, 0.76, 0.78, 1], **lid, **VISUAL)


STRANGERS = (
    ObjectSpec("banana", _banana, height=0.015, grasp_height=0.020, distractor=True),
    ObjectSpec("pumpkin", _pumpkin, height=0.026, grasp_height=0.028, turns=0, distractor=True),
    ObjectSpec("striped box", _striped_box, height=0.030, grasp_height=0.032, distractor=True),
    ObjectSpec("teal can", _teal_can, height=0.045, grasp_height=0.050, turns=0, distractor=True),
)
"""Objects that no training recording shows: to see what a model makes of the unknown. They have no class."""
OBJECT = {spec.name: spec for spec in (*OBJECTS, *STRANGERS)}
NAMES = tuple(spec.name for spec in OBJECTS)
BOWL = "bowl"
CLASSES = ("background", *NAMES, BOWL, "robot")
"""Names of the segmentation classes, by id."""


def add_bowl(body: mujoco.MjsBody) -> None:
    """A bowl as a disc and a ring of leaning staves (meshes collide as their convex hull, which has no inside)."""
    floor = {"pos": [0, 0, 0.004], "size": [BOWL_BASE_RADIUS + 0.002, 0.004, 0]}
    body.add_geom(type=CYLINDER, rgba=BOWL_COLOUR, density=1500, **floor, **CONTACT)
    lean = np.arctan2(BOWL_RIM_RADIUS - BOWL_BASE_RADIUS, BOWL_HEIGHT)
    slant = np.hypot(BOWL_RIM_RADIUS - BOWL_BASE_RADIUS, BOWL_HEIGHT)
    radius = (BOWL_BASE_RADIUS + BOWL_RIM_RADIUS) / 2
    width = np.pi * radius / BOWL_STAVES * 1.12  # a little overlap closes the gaps
    for k in range(BOWL_STAVES):
        angle = 2 * np.pi * k / BOWL_STAVES
        quaternion = np.zeros(4)
        around = np.array([np.cos(angle / 2), 0, 0, np.sin(angle / 2)])
        mujoco.mju_mulQuat(quaternion, around, np.array([np.cos(lean / 2), 0, np.sin(lean / 2), 0]))
        place = {"pos": [radius * np.cos(angle), radius * np.sin(angle), 0.006 + BOWL_HEIGHT / 2], "quat": quaternion}
        size = [0.003, width, slant / 2]
        body.add_geom(type=BOX, size=size, rgba=BOWL_COLOUR, density=800, **place, **CONTACT)
