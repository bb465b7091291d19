"""Ctrl-World's own action adapter, as published: `action_adapter/model2_15_9.pth` of its repository.

An MLP 112-512-512-105 with SiLU from joints and fifteen joint velocities to fifteen joint offsets. Velocities and
offsets are scaled to [-1, 1] between percentiles of DROID; joints are not.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import BundleError, ShapeError
from models.published import UNREADABLE, why

STEPS = 15
"""Control steps it was trained for: one second."""
JOINTS = 7
WIDTH = 512
VELOCITY_1 = (-0.4077, -0.7905, -0.4785, -0.8667, -0.6730, -0.5602, -0.6924)
VELOCITY_99 = (0.4901, 0.7260, 0.4591, 0.7922, 0.6986, 0.6482, 0.8101)
"""Of DROID's joint velocities, 1 % and 99 %; they are scaled by these and not clipped."""
OFFSET_1 = (-0.2801, -0.3978, -0.2294, -0.3352, -0.4203, -0.3683, -0.4507)
OFFSET_99 = (0.2828, 0.4218, 0.3353, 0.3596, 0.3756, 0.4446, 0.4698)
"""Of the joint offsets within one second, 1 % and 99 %, rad."""
NAMED = 8
"""Faults named in a message; the rest is counted."""


class CtrlWorldAdapter(nn.Module):
    """See `models.adapter.Adapter`; longer chunks are followed second by second, shorter ones go on with zeros."""

    percentiles: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(JOINTS + STEPS * JOINTS, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, WIDTH),
            nn.SiLU(),
            nn.Linear(WIDTH, STEPS * JOINTS),
        )
        ranges = torch.tensor([VELOCITY_1, VELOCITY_99, OFFSET_1, OFFSET_99])
        self.register_buffer("percentiles", ranges, persistent=False)

    def forward(self, joints: Tensor, velocities: Tensor) -> Tensor:
        """See `models.adapter.Adapter`."""
        if joints.shape[1:] != (JOINTS,) or velocities.ndim != 3 or velocities.shape[::2] != (len(joints), JOINTS):
            raise ShapeError(
                f"need joints (B, 7) and velocities (B, N, 7), got {tuple(joints.shape)}, {tuple(velocities.shape)}"
            )
        reached: list[Tensor] = []
        for second in velocities.split(STEPS, dim=1):
            reached.append(self._second(reached[-1][:, -1] if reached else joints, second))
        return torch.cat(reached, dim=1)

    def _second(self, joints: Tensor, velocities: Tensor) -> Tensor:
        slowest, fastest, lower, upper = self.percentiles
        given = velocities.shape[1]
        whole = functional.pad(velocities, (0, 0, 0, STEPS - given))
        scaled = 2 * (whole - slowest) / (fastest - slowest) - 1
        offsets = self.net(torch.cat([joints, scaled.flatten(1)], dim=1)).unflatten(1, (STEPS, JOINTS))
        return joints[:, None] + ((offsets + 1) / 2 * (upper - lower) + lower)[:, :given]


def load_ctrl_world_adapter(file: Path) -> CtrlWorldAdapter:
    """Ctrl-World's file, weights only: nothing in it is executed.

    Raises:
        BundleError: It is missing, no file of tensors, or its names and shapes are not the published ones; names those
            that are wrong.
    """
    adapter = CtrlWorldAdapter()
    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise BundleError(f"{file} is no action adapter that can be read: {why(file, error)}") from error
    expected = {name: tuple(value.shape) for name, value in adapter.state_dict().items()}
    found = {str(k): tuple(getattr(v, "shape", ())) for k, v in weights.items()} if isinstance(weights, dict) else {}
    if found != expected:
        faults = [f"{name} {shape} is missing" for name, shape in expected.items() if name not in found]
        faults += [f"{name} is unexpected" for name in found if name not in expected]
        faults += [
            f"{name} is {found[name]}, need {shape}"
            for name, shape in expected.items()
            if name in found and found[name] != shape
        ]
        named = "; ".join(faults[:NAMED]) + (f"; and {len(faults) - NAMED} more" if len(faults) > NAMED else "")
        raise BundleError(f"{file} is not Ctrl-World's action adapter (model2_15_9.pth): {named}")
    if not all(value.isfinite().all() for value in weights.values()):
        raise BundleError(f"{file}: its weights are not finite")
    adapter.load_state_dict(weights)
    return adapter.float().eval().requires_grad_(False)
