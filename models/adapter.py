"""Action adapters: where an arm really goes when a policy commands joint velocities (paper, Section 3.4; Ctrl-World).

Pi0.5-DROID answers chunks of joint velocities, which DROID's compliant controller follows late and to a quarter. A
world model is told poses, so what such a chunk leads to has to be known. The simulated cell needs no learned adapter:
it does what it is told (`robot_model.adapter`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from torch import Tensor

from models.adapter_ctrl_world import load_ctrl_world_adapter
from models.adapter_impedance import load_impedance
from models.errors import BundleError

DROID_ADAPTER = Path(__file__).parent / "adapters" / "droid.json"
"""The one that ships, fitted to DROID episodes by `vidplan train adapter`."""


class Adapter(Protocol):
    """Joint velocities to joints; differentiable in both inputs."""

    def __call__(self, joints: Tensor, velocities: Tensor) -> Tensor:
        """Follow a chunk.

        Args:
            joints: ``(B, 7)`` at the start, rad.
            velocities: ``(B, N, 7)``, one per control step (15 Hz), DROID's units (`robot_model.adapter.STEP_ANGLE`).

        Returns:
            ``(B, N, 7)`` joints after each step, rad.

        Raises:
            ShapeError: The shapes do not fit each other.
        """
        ...


def load_adapter(file: Path = DROID_ADAPTER) -> Adapter:
    """An adapter from a file: ours (``.json``), or Ctrl-World's ``model2_15_9.pth``.

    Raises:
        BundleError: It is missing, damaged, or neither.
    """
    if file.suffix == ".json":
        return load_impedance(file)
    if file.suffix in (".pth", ".pt"):
        return load_ctrl_world_adapter(file)
    raise BundleError(f"{file} is no action adapter: need a .json of `vidplan train adapter`, or Ctrl-World's .pth")
