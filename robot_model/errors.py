"""Errors of this room: one base, subclasses that carry what was wrong as data."""

from __future__ import annotations


class RobotModelError(ValueError):
    """Base of everything the robot model refuses."""


class InvalidArrayError(RobotModelError):
    """An array has the wrong shape or holds values that are not finite numbers."""


class UnknownRobotError(RobotModelError):
    """A robot was named that this package does not model.

    Attributes:
        name: The name that was asked for.
    """

    def __init__(self, name: str, known: tuple[str, ...]):
        self.name = name
        super().__init__(f"no robot model called {name!r}; choose one of: {', '.join(known)}")


class JointLimitError(RobotModelError):
    """A joint lies outside its range.

    Attributes:
        joint: Name of the joint.
        value: The offending value, in ``unit``.
        lower: Smallest allowed value.
        upper: Largest allowed value.
        unit: ``rad``, ``rad/s`` or ``rad/s^2``.
    """

    def __init__(self, joint: str, value: float, lower: float, upper: float, unit: str = "rad"):
        self.joint = joint
        self.value = value
        self.lower = lower
        self.upper = upper
        self.unit = unit
        super().__init__(f"{joint} = {value:.6g} {unit} is outside [{lower:.6g}, {upper:.6g}] {unit}")
