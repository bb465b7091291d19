"""Errors of the models room; each says what was wrong, where, and what to do."""

from __future__ import annotations


class ModelsError(Exception):
    """Base of every error this room raises on purpose."""


class BundleError(ModelsError):
    """A bundle cannot be loaded or written."""


class DatasetError(ModelsError):
    """A dataset cannot be read, or holds nothing usable."""


class TrainingError(ModelsError):
    """A training stage cannot run: an earlier stage is missing, or its settings do not fit the data."""


class CompileError(ModelsError):
    """Networks cannot be compiled on this machine."""


class ShapeError(ModelsError, ValueError):
    """A tensor has another shape than the model was built for."""
