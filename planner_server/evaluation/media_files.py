"""Keeps the pictures and videos of a finished part, so that a later run can put them into its report."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from models.evaluation import Media


def save_media(media: Media, file: Path) -> None:
    """Write every named array of every field."""
    np.savez_compressed(
        file,
        **{f"{part.name}/{name}": array for part in fields(media) for name, array in getattr(media, part.name).items()},
    )


def load_media(file: Path, media: Media) -> None:
    """Add what `save_media` wrote to ``media``; nothing when the file is gone."""
    if file.exists():
        with np.load(file, allow_pickle=False) as arrays:
            for key in arrays.files:
                part, name = key.split("/", 1)
                getattr(media, part)[name] = arrays[key]
