"""Checkpoints that survive a kill at any moment: written beside, then renamed; the one before is kept."""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from models.errors import TrainingError
from models.training.config import LoopConfig

MAY_CHANGE = frozenset({"minutes", "steps", "threads", "device", "save_every", "sample_every"})
"""Settings a run may be resumed with other values of: they are about when it stops and where it runs."""


def previous(path: Path) -> Path:
    """Where the checkpoint before the one at ``path`` is kept."""
    return path.with_name(f"{path.name}.previous")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; at every moment ``path`` or its predecessor is whole."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    if path.exists():
        path.replace(previous(path))
    partial.replace(path)


def load_checkpoint(path: Path, device: torch.device, quiet: bool = False) -> dict[str, Any] | None:
    """The newest whole checkpoint; says on stderr when that is not the newest one.

    Args:
        path: The newest; its predecessor is tried next.
        device: Where its tensors go.
        quiet: Say nothing.

    Returns:
        Its state, or None when there is none.

    Raises:
        TrainingError: There are some, but all are damaged.
    """
    damaged: list[str] = []
    for candidate in (path, previous(path)):
        if not candidate.exists():
            continue
        try:
            with zipfile.ZipFile(candidate) as archive:
                if (member := archive.testzip()) is not None:
                    raise zipfile.BadZipFile(f"wrong checksum of {member}")
            where = "cpu" if device.type == "cpu" else device  # torch restores nothing to "cpu:0", Accelerate's device
            state = torch.load(candidate, map_location=where, weights_only=True)
        except (zipfile.BadZipFile, OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            damaged.append(f"{candidate.name} is damaged ({error})")
            continue
        if damaged and not quiet:
            print(f"{damaged[0]}; going on from {candidate.name}, step {state['step']}", file=sys.stderr)
        return state
    if damaged:
        raise TrainingError(f"{path.parent}: {'; '.join(damaged)}; delete what is damaged to start anew")
    return None


def refuse_other_settings(stage: str, before: dict[str, Any] | None, config: LoopConfig) -> None:
    """Compare a run's settings with those it began with, as far as both know a field.

    Raises:
        TrainingError: They differ in more than `MAY_CHANGE`; the message names each difference.
    """
    now = dataclasses.asdict(config)
    if differences := differing(before or {}, {name: now[name] for name in now.keys() - MAY_CHANGE}):
        raise TrainingError(
            f"{stage} was trained with other settings here: {differences}. Use those again, choose another --out, or "
            f"delete {stage}.* in it to start anew"
        )


def differing(before: dict[str, Any], now: dict[str, Any]) -> str:
    """``name was -> is`` of every field that both have and whose value differs, empty when none does."""
    plain = json.loads(json.dumps(now))
    changed = [name for name in sorted(plain) if name in before and before[name] != plain[name]]
    return ", ".join(f"{name} {before[name]} -> {plain[name]}" for name in changed)


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader never sees half of it."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.replace(path)
