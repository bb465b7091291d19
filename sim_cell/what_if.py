"""Counterfactuals: from one exact state of the cell, what truly happens under each of many chunks of motion.

`vidplan sim what-if` serves this to another process, so that whoever plans with imagined futures can hold them against
the true ones without importing a simulator: one JSON object per line on stdin, one per line back on stdout, arrays in
``.npz`` files of a folder. ``{"situation": {...}}`` (see `WhatIf.begin`) is answered by ``{"arrays": PATH}``, then
``{"rollouts": {"chunks": PATH, "watch": true}}`` (see `WhatIf.rollouts`) likewise, as often as wanted;
``{"error": TEXT}`` says what was wrong with a request. Several cells are several processes.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import mujoco
import numpy as np

from robot_model.conventions import CONTROL_PERIOD, interpolate_pose, pose_to_matrix
from robot_model.franka import PANDA
from robot_model.ros_names import CAMERAS
from sim_cell import situations
from sim_cell.cell import Cell, View
from sim_cell.episode import halve_classes
from sim_cell.errors import SimCellError
from sim_cell.hand import SPEED_MARGIN, TICKS_PER_FRAME, Hand
from sim_cell.look import LOOKS
from sim_cell.objects import CLASSES
from sim_cell.renderer import Renderer
from sim_cell.truth import Truth

ATTEMPTS = 20
"""Scenes tried until a situation comes about (a grasp may fail)."""
WHOLE_STATE = mujoco.mjtState.mjSTATE_INTEGRATION
"""Everything the next physics step depends on, the solver's warm start included: restoring it repeats to the bit."""


@dataclass(frozen=True)
class Moment:
    """A moment to come back to: the physics, and what the hand was told last."""

    physics: np.ndarray
    joints: np.ndarray
    position: np.ndarray
    yaw: float
    gripper: float


class Follower(Hand):
    """A hand that can also follow flange poses of any orientation, and go back in time."""

    def follow(self, pose: np.ndarray, truth: Truth) -> None:
        """Reach a pose ``(7,)`` (flange and gripper) one video frame from now, straight, with the servos of `Hand`."""
        start, self.gripper = self.pose(self._joints), float(pose[6])
        for part in np.arange(1, TICKS_PER_FRAME + 1) / TICKS_PER_FRAME:
            target = pose_to_matrix(interpolate_pose(start, pose[:6], part))
            limit = SPEED_MARGIN * PANDA.velocity * CONTROL_PERIOD
            self._ramp_to(self._ik.solve(target, self._joints, max_step=limit).q)
            truth.update()

    def now(self) -> Moment:
        """This moment, to `go_back` to."""
        model, data = self.cell.model, self.cell.data
        physics = np.empty(mujoco.mj_stateSize(model, WHOLE_STATE))
        mujoco.mj_getState(model, data, physics, WHOLE_STATE)
        return Moment(physics, self._joints.copy(), self.position.copy(), self.yaw, self.gripper)

    def go_back(self, moment: Moment) -> None:
        """Restore a moment of the same scene exactly."""
        mujoco.mj_setState(self.cell.model, self.cell.data, moment.physics, WHOLE_STATE)
        mujoco.mj_kinematics(self.cell.model, self.cell.data)
        self._joints, self.position = moment.joints.copy(), moment.position.copy()
        self.yaw, self.gripper = moment.yaw, moment.gripper

    def measured(self) -> np.ndarray:
        """Measured flange pose and gripper ``(7,)``."""
        return np.array([*self.pose(self.cell.joints()), self.cell.gripper()])

    def commanded_joints(self) -> np.ndarray:
        """Joints ``(7,)`` the servos hold now, rad."""
        return self._joints.copy()


class WhatIf:
    """One simulated cell in one situation at a time.

    Histories are rendered at the cell's size, as recordings are; outcomes at half of it, as the labels of recordings.
    """

    def __init__(self, width: int, height: int):
        self._cell = Cell(width, height)
        self._small = Renderer(self._cell.model, width // 2, height // 2)
        self._hand, self._truth = Follower(self._cell), Truth(self._cell)
        self._moment: Moment | None = None

    def begin(
        self, kind: str, seed: int, look: str, history_offsets: Sequence[int], horizon: int
    ) -> dict[str, np.ndarray]:
        """Bring about a situation; depends on the arguments alone.

        Args:
            kind: One of `situations.KINDS`.
            seed: Of scene, look and motion.
            look: One of `look.LOOKS`.
            history_offsets: Frames to show, counted back from now, oldest first, e.g. ``(-1, 0)``.
            horizon: Poses of the nominal chunk.

        Returns:
            ``images`` (T, V, h, w, 3) uint8 RGB and ``poses`` (T, 7) measured at these frames; of now: ``joints`` (7,)
            measured and ``commanded_joints`` (7,), ``classes`` (V, h//2, w//2), and the row of `_whereabouts`;
            ``nominal`` (H, 7): what a badly aiming script would command next; ``target``: its name; ``class_names``
            by id.

        Raises:
            SimCellError: Unknown kind or look, or the situation did not come about.
        """
        if kind not in situations.KINDS or look not in LOOKS:
            known = f"{', '.join(situations.KINDS)}; {', '.join(LOOKS)}"
            raise SimCellError(f"no situation {kind!r} with look {look!r}; there are: {known}")
        rng = np.random.default_rng(seed)
        past = self._reach(kind, rng, look, 1 - min(history_offsets))
        nominal = self._nominal(kind, rng, horizon)
        views, poses = [], []
        for offset in history_offsets:
            self._hand.go_back(past[max(offset - 1, -len(past))])
            views.append(self._cell.render())
            poses.append(self._hand.measured())
        self._moment = past[-1]
        self._hand.go_back(self._moment)
        return {
            "target": np.array(self._cell.target),
            "class_names": np.array(CLASSES),
            "images": np.stack([[view[name].image for name in CAMERAS] for view in views]),
            "classes": halve_classes(np.stack([views[-1][name].classes for name in CAMERAS])),
            "poses": np.stack(poses),
            "joints": self._cell.joints(),
            "commanded_joints": self._hand.commanded_joints(),
            "nominal": nominal,
            **self._whereabouts(),
        }

    def rollouts(self, chunks: np.ndarray, watch: bool) -> dict[str, np.ndarray]:
        """Carry out chunks ``(K, H, 7)`` of flange poses and gripper, each from the situation of the last `begin`.

        Args:
            chunks: One pose per video frame, to be reached at that frame.
            watch: Also look: rendering is most of the work.

        Returns:
            ``poses`` (K, H, 7) measured and the rows (K, H, 3) of `_whereabouts` at each frame; ``touched``,
            ``lifted``, ``success`` (K,) bool of the target; with ``watch`` also ``images`` (K, H, V, h//2, w//2, 3)
            and ``classes`` (K, H, V, h//2, w//2).

        Raises:
            SimCellError: There is no situation yet, or the chunks have another shape.
        """
        if self._moment is None:
            raise SimCellError("no situation yet: ask for one before its rollouts")
        if chunks.ndim != 3 or chunks.shape[-1] != 7 or not np.isfinite(chunks).all():
            raise SimCellError(f"chunks must be finite numbers (K, H, 7), got shape {chunks.shape}")
        futures = [self._rollout(chunk, watch) for chunk in chunks]
        return {name: np.stack([future[name] for future in futures]) for name in futures[0]}

    def _reach(self, kind: str, rng: np.random.Generator, look: str, frames: int) -> list[Moment]:
        """The last moments, one per video frame, of the way into a situation."""
        for _ in range(ATTEMPTS):
            appearance = LOOKS[look](rng)
            self._cell.reset(rng, look=appearance)
            self._small.dress(appearance)
            self._hand = Follower(self._cell)  # a used one would start its inverse kinematics elsewhere
            past: deque[Moment] = deque(maxlen=frames)
            for move in situations.approach(self._hand, kind, rng):
                if not past:
                    past.append(self._hand.now())
                self._hand.move(*move)
                past.append(self._hand.now())
            if past and situations.reached(self._hand, kind):
                return list(past)
        raise SimCellError(f"the situation {kind!r} did not come about in {ATTEMPTS} scenes")

    def _nominal(self, kind: str, rng: np.random.Generator, horizon: int) -> np.ndarray:
        moment, poses = self._hand.now(), []
        for move in islice(situations.onward(self._hand, kind, rng), horizon):
            self._hand.move(*move)
            poses.append([*self._hand.pose(self._hand.commanded_joints()), move.gripper])
        self._hand.go_back(moment)
        return np.array(poses)

    def _rollout(self, chunk: np.ndarray, watch: bool) -> dict[str, Any]:
        assert self._moment is not None
        self._hand.go_back(self._moment)
        self._truth.start()
        frames = []
        for pose in chunk:
            self._hand.follow(pose, self._truth)
            frames.append({"poses": self._hand.measured(), **self._whereabouts(), **(self._look() if watch else {})})
        target = self._cell.target
        return {
            **{name: np.stack([frame[name] for frame in frames]) for name in frames[0]},
            "touched": target in self._truth.touched,
            "lifted": target in self._truth.lifted,
            "success": self._truth.success(),
        }

    def _whereabouts(self) -> dict[str, np.ndarray]:
        """Positions ``(3,)`` in metres: the ``tool`` (pinch point), the target, where to grasp and where to drop it."""
        return {
            "tool": self._cell.pinch(),
            "object": self._cell.position(self._cell.target),
            "grasp_point": situations.grasp_point(self._hand),
            "release_point": situations.release_point(self._hand),
        }

    def _look(self) -> dict[str, np.ndarray]:
        mujoco.mj_kinematics(self._cell.model, self._cell.data)
        mujoco.mj_camlight(self._cell.model, self._cell.data)
        self._small.update_shadows(self._cell.data)
        views = [View(*self._small.render(self._cell.data, name)) for name in CAMERAS]
        return {"images": np.stack([v.image for v in views]), "classes": np.stack([v.classes for v in views])}


def serve(cell: WhatIf, folder: Path, requests: TextIO, answers: TextIO) -> None:
    """Answer requests until they end; the module's docstring says what they are."""
    for number, line in enumerate(requests):
        try:
            arrays = _answer(cell, json.loads(line))
        except (SimCellError, OSError, ValueError, TypeError, KeyError) as error:
            print(json.dumps({"error": f"request {number}: {error}"}), file=answers, flush=True)
            continue
        path = folder / f"answer-{number}.npz"
        np.savez(path, **arrays)
        print(json.dumps({"arrays": str(path)}), file=answers, flush=True)


def _answer(cell: WhatIf, request: dict[str, Any]) -> dict[str, Any]:
    if "situation" in request:
        return cell.begin(**request["situation"])
    with np.load(request["rollouts"]["chunks"], allow_pickle=False) as file:
        chunks = file["chunks"]
    return cell.rollouts(chunks, bool(request["rollouts"]["watch"]))
