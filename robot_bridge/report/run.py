"""A recorded run, read back: what the bridge wrote while it worked, tolerant of a run that ended abruptly."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np

from robot_model.ros_names import CAMERAS

FRAME_MATCH = 0.11
"""Seconds by which a real frame may differ from an imagined one to be shown beside it (half a video period)."""


@dataclass(frozen=True)
class Imagined:
    """The imagined future of one plan; V views of h x w pixels, H frames.

    Attributes:
        observed: ``(V, h, w, 3)`` uint8 RGB, what the planner saw last.
        frames: ``(H, V, h, w, 3)`` uint8 RGB.
        composites: ``(H, V, h, w, 3)`` uint8 RGB, with the uncertainty on top.
        uncertainty: ``(H, V, a, b)`` in [0, 1].
        times: ``(H,)`` seconds on the robot's clock.
    """

    observed: np.ndarray
    frames: np.ndarray
    composites: np.ndarray
    uncertainty: np.ndarray
    times: np.ndarray


@dataclass(frozen=True)
class Series:
    """Something measured over time: ``t`` (N,) seconds on the robot's clock, ``pose`` (N, 7), ``joints`` (N, 7)."""

    t: np.ndarray
    pose: np.ndarray
    joints: np.ndarray


@dataclass
class Run:
    """Everything in a run directory.

    Attributes:
        path: The directory.
        meta: ``run.json``.
        events: ``events.jsonl``, in order.
        plans: The events of plans that came back, in order.
        measured: Where the arm was.
        commanded: Where the guard let it go.
        recorded: What the operator of a replayed episode commanded, if known.
        truth: Records of the simulator's truth (demo only).
        notes: What could not be read.
    """

    path: Path
    meta: dict[str, Any]
    events: list[dict[str, Any]]
    plans: list[dict[str, Any]]
    measured: Series
    commanded: Series
    recorded: Series
    truth: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        stamps = [int(p.stem) for p in (self.path / "frames").glob("*.jpg") if p.stem.isdigit()]
        self._stamps = sorted(stamps)

    @property
    def views(self) -> list[str]:
        """Names of the cameras in the order of the pictures."""
        cameras = (self.meta.get("spec") or {}).get("cameras") or self.meta.get("cameras") or CAMERAS
        return [camera["name"] if isinstance(camera, dict) else str(camera) for camera in cameras]

    @property
    def start(self) -> float:
        """Robot time that plots call zero: the first real frame, else the first event."""
        return self._stamps[0] / 1e9 if self._stamps else float(self.events[0].get("t") or 0.0) if self.events else 0.0

    @property
    def seconds(self) -> float:
        """Time between the first and the last real frame."""
        return (self._stamps[-1] - self._stamps[0]) / 1e9 if self._stamps else 0.0

    @property
    def frame_times(self) -> np.ndarray:
        """``(N,)`` robot time of the real frames, seconds."""
        return np.array(self._stamps, float) / 1e9

    @property
    def uncertain_plans(self) -> int:
        """How many plans said of themselves that they are uncertain."""
        return sum(plan.get("status") == "uncertain" for plan in self.plans)

    def real(self, time: float) -> np.ndarray | None:
        """The real frame nearest to ``time`` as ``(V, H, W, 3)`` uint8 RGB; None if none is near enough."""
        if not self._stamps:
            return None
        at = bisect_left(self._stamps, time * 1e9)
        nearest = min(self._stamps[max(0, at - 1) : at + 1], key=lambda stamp: abs(stamp - time * 1e9))
        if abs(nearest / 1e9 - time) > FRAME_MATCH:
            return None
        return _read_frame(self.path / "frames" / f"{nearest}.jpg", len(self.views))

    def imagined(self, plan: dict[str, Any]) -> Imagined | None:
        """Pictures of a plan, or None where it was recorded without."""
        return _read_plan(self.path / "plans" / f"{int(plan['plan']):05d}.npz")


def load_run(path: Path) -> Run:
    """Read a run directory; whatever is missing or cut off becomes a note instead of an error."""
    notes: list[str] = []
    events = _lines(path / "events.jsonl", notes)
    return Run(
        path=path,
        meta=_object(path / "run.json", notes),
        events=events,
        plans=[event for event in events if event.get("event") == "plan" and "plan" in event],
        measured=_series(_lines(path / "states.jsonl", notes)),
        commanded=_series(_lines(path / "commands.jsonl", notes)),
        recorded=_series(_lines(path / "recorded.jsonl", notes)),
        truth=_lines(path / "truth.jsonl", notes),
        notes=notes,
    )


def _object(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return {}


def _lines(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    records = []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        try:
            records.append(dict(json.loads(line)))
        except (ValueError, TypeError):
            notes.append(f"{path.name}, line {number} cannot be read (run cut off while writing?)")
    return records


def _series(records: list[dict[str, Any]]) -> Series:
    good = [r for r in records if r.get("t") is not None and len(r.get("pose") or ()) == 7]
    joints = [r.get("joints") or [np.nan] * 7 for r in good]
    return Series(
        np.array([r["t"] for r in good], float),
        np.array([r["pose"] for r in good], float).reshape(-1, 7),
        np.array(joints, float).reshape(-1, 7),
    )


@lru_cache(maxsize=64)
def _read_frame(path: Path, views: int) -> np.ndarray | None:
    picture = cv2.imread(str(path))
    if picture is None or picture.shape[0] % views:
        return None
    rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return rgb.reshape(views, -1, *rgb.shape[1:])


@lru_cache(maxsize=4)
def _read_plan(path: Path) -> Imagined | None:
    try:
        with np.load(path) as data:
            return Imagined(*(data[name] for name in ("observed", "frames", "composites", "uncertainty", "times")))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):  # the last three: cut off
        return None
