"""The simulator as another process: situations to plan in, and what truly happens under each chunk.

`vidplan sim what-if` describes the format. One `Simulator` is one process with one cell, for one thread at a time.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from planner_server.evaluation.errors import SimulatorError
from robot_model.ros_names import CAMERAS

OVERSAMPLING = 2
"""Histories are rendered larger and averaged, as recorded episodes are when a model is trained on them."""


@dataclass(frozen=True)
class Situation:
    """What a robot would know in a state of the simulator, and what only the simulator knows.

    Attributes:
        kind: ``far``, ``near`` or ``held``.
        seed: It was made from.
        target: Name of the object of the instruction.
        images: ``(T, V, h, w, 3)`` uint8 RGB at the history frames.
        poses: ``(T, 7)`` measured there.
        joints: ``(7,)`` measured now, rad.
        commanded_joints: ``(7,)`` the servos hold now, rad.
        nominal: ``(H, 7)`` chunk that a script would command next, aiming badly.
        classes: ``(V, h, w)`` true class ids of the newest frame.
        class_names: Names by id.
        tool: ``(3,)`` true position of the pinch point, metres.
        object: ``(3,)`` of the target.
        grasp_point: ``(3,)`` where the pinch point has to be to grasp it.
        release_point: ``(3,)`` where the target has to be to fall into the bowl.
    """

    kind: str
    seed: int
    target: str
    images: np.ndarray
    poses: np.ndarray
    joints: np.ndarray
    commanded_joints: np.ndarray
    nominal: np.ndarray
    classes: np.ndarray
    class_names: tuple[str, ...]
    tool: np.ndarray
    object: np.ndarray
    grasp_point: np.ndarray
    release_point: np.ndarray


@dataclass(frozen=True)
class Outcomes:
    """What truly happened under K chunks of H poses; positions ``(K, H, 3)`` in metres as in `Situation`.

    Attributes:
        poses: ``(K, H, 7)`` measured at each frame.
        classes: ``(K, H, V, h, w)`` true class ids in each view; None when nobody looked.
        tool: The pinch point.
        object: The target.
        grasp_point: Where the target would be grasped.
        release_point: Where it would fall into the bowl.
    """

    poses: np.ndarray
    classes: np.ndarray | None
    tool: np.ndarray
    object: np.ndarray
    grasp_point: np.ndarray
    release_point: np.ndarray


class Simulator:
    """A process of the simulated cell, ended by `close` or on leaving a ``with`` block.

    Args:
        folder: For the arrays that go to and fro; exists, and is for this simulator alone.
        image_size: (rows, columns) of one view of a situation.
        views: View order wanted.
    """

    def __init__(self, folder: Path, image_size: tuple[int, int], views: Sequence[str]) -> None:
        if unknown := set(views) - set(CAMERAS):
            raise SimulatorError(f"the simulated cell has no camera {', '.join(sorted(unknown))}: {', '.join(CAMERAS)}")
        self._folder, self._image_size = folder, image_size
        self._views = [CAMERAS.index(view) for view in views]
        rows, columns = image_size
        size = ["--width", str(columns * OVERSAMPLING), "--height", str(rows * OVERSAMPLING)]
        self._log = folder / "simulator.log"
        with open(self._log, "w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vidplan", "sim", "what-if", "--folder", str(folder), *size],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.communicate()

    def situation(self, kind: str, seed: int, look: str, history_offsets: Sequence[int], horizon: int) -> Situation:
        """Bring about a situation, the same for the same arguments.

        Raises:
            SimulatorError: It refused or ended.
        """
        wanted = {"kind": kind, "seed": seed, "look": look, "history_offsets": [*history_offsets], "horizon": horizon}
        arrays = self._ask({"situation": wanted})
        images = arrays.pop("images")[:, self._views]
        return Situation(
            kind=kind,
            seed=seed,
            target=str(arrays.pop("target")),
            class_names=tuple(str(name) for name in arrays.pop("class_names")),
            images=np.stack([[self._reduce(view) for view in frame] for frame in images]),
            classes=arrays.pop("classes")[self._views],
            **arrays,
        )

    def rollouts(self, chunks: np.ndarray, watch: bool = True) -> Outcomes:
        """Carry out chunks ``(K, H, 7)``, each from the situation asked for last.

        Raises:
            SimulatorError: It refused or ended.
        """
        file = self._folder / "chunks.npz"
        np.savez(file, chunks=chunks)
        arrays = self._ask({"rollouts": {"chunks": str(file), "watch": watch}})
        classes = arrays["classes"][:, :, self._views] if watch else None
        names = ("poses", "tool", "object", "grasp_point", "release_point")
        return Outcomes(classes=classes, **{name: arrays[name] for name in names})

    def _reduce(self, view: np.ndarray) -> np.ndarray:
        return cv2.resize(view, self._image_size[::-1], interpolation=cv2.INTER_AREA)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except OSError:
            line = ""
        if not line:
            last_words = self._log.read_text().strip()[-800:] or "it said nothing"
            raise SimulatorError(f"the simulator's process ended: {last_words}")
        answer = json.loads(line)
        if "error" in answer:
            raise SimulatorError(f"the simulator refused: {answer['error']}")
        path = Path(answer["arrays"])
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        path.unlink()
        return arrays
