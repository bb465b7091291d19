"""The arm's outside in capsules and boxes: larger than the real thing everywhere, and without a mesh file.

Fitted to the outer surfaces of the Franka Panda (FR3 has the same shell) and of the Robotiq 2F-85 at all its openings;
`tests/robot_model/test_shapes.py` measures that every point of the simulated arm's meshes lies inside. Each shape is
given in the frame of its link (Denavit-Hartenberg frames of `urdf/`), in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_model.errors import RobotModelError

FLANGE = "link8"


@dataclass(frozen=True)
class Capsule:
    """All points closer than ``radius`` to the segment from ``start`` to ``end`` (metres, frame of ``link``)."""

    body: str
    link: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float


@dataclass(frozen=True)
class Box:
    """A box along the axes of its frame: ``link``'s, turned by ``turn`` rad about z.

    Attributes:
        body: Name in messages.
        link: The link it is fixed to.
        centre: Its middle in the turned frame, metres.
        size: Full edge lengths, metres.
        turn: Rotation of its frame about the link's z, rad.
    """

    body: str
    link: str
    centre: tuple[float, float, float]
    size: tuple[float, float, float]
    turn: float = 0.0


Shape = Capsule | Box


@dataclass(frozen=True)
class KeepOut:
    """A box that must stay free: ``centre`` and full edge lengths ``size`` along the base frame's axes, metres."""

    name: str
    centre: tuple[float, float, float]
    size: tuple[float, float, float]


ARM_SHAPES: tuple[Shape, ...] = (
    Capsule("link0", "link0", (-0.063, 0.0, 0.011), (-0.016, 0.0, 0.019), 0.101),
    Capsule("link0", "link0", (0.0, 0.0, 0.103), (0.001, -0.001, 0.103), 0.068),
    Capsule("link1", "link1", (0.0, -0.012, -0.157), (0.001, -0.012, -0.105), 0.077),
    Capsule("link1", "link1", (-0.002, -0.054, -0.005), (0.0, -0.05, -0.003), 0.080),
    Capsule("link2", "link2", (-0.001, -0.161, 0.002), (-0.001, -0.081, 0.031), 0.069),
    Capsule("link2", "link2", (0.0, -0.003, 0.034), (0.0, -0.003, 0.063), 0.071),
    Capsule("link3", "link3", (0.001, -0.001, -0.1), (0.001, -0.001, -0.069), 0.068),
    Capsule("link3", "link3", (0.073, 0.028, -0.002), (0.073, 0.05, -0.001), 0.073),
    Capsule("link4", "link4", (-0.083, 0.104, 0.0), (-0.083, 0.092, 0.0), 0.065),
    Capsule("link4", "link4", (-0.008, 0.008, 0.055), (0.001, 0.0, 0.055), 0.064),
    Capsule("link4", "link4", (-0.079, 0.035, 0.0), (0.001, 0.0, 0.0), 0.064),
    Capsule("link5", "link5", (0.0, 0.04, -0.201), (0.0, 0.0, -0.234), 0.062),
    Capsule("link5", "link5", (0.0, 0.08, -0.136), (0.0, 0.08, -0.05), 0.049),
    Capsule("link5", "link5", (-0.001, 0.094, 0.001), (-0.001, 0.036, 0.001), 0.056),
    Capsule("link6", "link6", (0.068, 0.057, 0.001), (0.088, 0.049, 0.0), 0.045),
    Capsule("link6", "link6", (0.01, -0.003, 0.0), (0.088, -0.005, 0.0), 0.066),
    Capsule("link7", "link7", (-0.002, -0.001, 0.079), (-0.002, -0.001, 0.075), 0.056),
    Capsule("link7", "link7", (0.042, 0.042, 0.08), (0.043, 0.037, 0.08), 0.046),
)

_TURN = -np.pi / 4
FINGERTIPS = "fingertips"

_ROBOTIQ: tuple[Shape, ...] = (
    Box("gripper", FLANGE, (0.0, 0.0, 0.0435), (0.077, 0.087, 0.103), _TURN),
    Box("fingers", FLANGE, (0.0, 0.0, 0.085), (0.041, 0.150, 0.074), _TURN),
    # Closed they reach 166.7 mm from the flange, open 153.5: the box holds both.
    Box(FINGERTIPS, FLANGE, (0.0, 0.0, 0.14225), (0.041, 0.150, 0.0505), _TURN),
    # A ZED Mini (125 x 31 x 27 mm) on the DROID bracket, beside the gripper's base.
    Box("wrist camera", FLANGE, (0.070, 0.0, 0.015), (0.045, 0.130, 0.050), _TURN),
)

# From the Franka Hand's data sheet; no mesh of it was at hand to measure against.
_FRANKA_HAND: tuple[Shape, ...] = (
    Box("gripper", FLANGE, (0.0, 0.0, 0.030), (0.072, 0.212, 0.082), _TURN),
    Box(FINGERTIPS, FLANGE, (0.0, 0.0, 0.0925), (0.030, 0.120, 0.045), _TURN),
    Box("wrist camera", FLANGE, (0.070, 0.0, 0.015), (0.045, 0.130, 0.050), _TURN),
)

GRIPPER_SHAPES: dict[str, tuple[Shape, ...]] = {"robotiq": _ROBOTIQ, "franka_hand": _FRANKA_HAND}


def robot_shapes(gripper: str = "robotiq") -> tuple[Shape, ...]:
    """Shapes of the arm with a gripper on it.

    Raises:
        RobotModelError: No such gripper.
    """
    if gripper not in GRIPPER_SHAPES:
        raise RobotModelError(f"no shapes of a gripper called {gripper!r}; choose one of: {', '.join(GRIPPER_SHAPES)}")
    return (*ARM_SHAPES, *GRIPPER_SHAPES[gripper])


def outside(shape: Shape, points: np.ndarray) -> np.ndarray:
    """How far points ``(N, 3)`` of the shape's link lie outside it, metres ``(N,)``; negative inside."""
    if isinstance(shape, Capsule):
        start, along = np.array(shape.start), np.subtract(shape.end, shape.start)
        share = np.clip((points - start) @ along / (along @ along), 0.0, 1.0)
        return np.linalg.norm(points - start - share[:, None] * along, axis=1) - shape.radius
    c, s = np.cos(shape.turn), np.sin(shape.turn)
    turned = points @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    beyond = np.abs(turned - shape.centre) - np.array(shape.size) / 2
    return np.linalg.norm(np.maximum(beyond, 0.0), axis=1) + np.minimum(beyond.max(axis=1), 0.0)
