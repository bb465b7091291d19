"""Errors of this room: one base, subclasses for what a caller may want to tell apart."""

from __future__ import annotations


class SimCellError(RuntimeError):
    """Base of everything that goes wrong in the simulated cell."""


class MissingAssetsError(SimCellError):
    """The robot's meshes are not installed."""


class InvalidTrajectoryError(SimCellError):
    """A joint trajectory or gripper command cannot be executed as it stands; nothing of it was executed."""


class DatasetMismatchError(SimCellError):
    """A folder already holds episodes recorded with other settings."""


class InvalidTaskError(SimCellError):
    """A request for a task is not understood; the scene stays as it is."""
