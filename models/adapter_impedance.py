"""An action adapter of our own: how DROID's impedance controller follows joint velocities, as a model of its physics.

At every control step DROID's stack turns a joint velocity v into a target ``q + STEP_ANGLE v``, from the joints q
measured then, and polymetis' hybrid impedance controller pulls the arm there against damping, inertia and friction:

    M q'' = K (target - q) - (D + F(q')) q' + g,   each of M, K, D = diag(joint part) + J(q)^T diag(flange part) J(q)

The arm covers about a quarter of what it is told, less at low speed (friction), some steps late, and joints 1 and 3
pull each other (the flange part). The implicit Euler steps are stable for any positive constants, so that gradients can
fit them: 69 numbers, for which two minutes of recordings are enough.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.adapter_arm import ArmChain
from models.config_io import from_plain, to_plain
from models.errors import BundleError, ShapeError
from robot_model.adapter import STEP_ANGLE
from robot_model.conventions import CONTROL_PERIOD

FORMAT = "vidplan impedance adapter 1"
SUBSTEPS = 2
"""Euler steps per control step."""
SETTLING = 3
"""Fixed-point iterations for the velocity at the start."""
Seven = tuple[float, float, float, float, float, float, float]
Six = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Impedance:
    """Constants of arm and controller; flange values are three linear, then three angular, along the base's axes.

    The defaults of stiffness and damping are polymetis', the others guesses: where fitting begins. Forces have a common
    scale that motion alone cannot tell.

    Attributes:
        joint_stiffness: Nm/rad.
        flange_stiffness: N/m, Nm/rad.
        joint_damping: Nms/rad.
        flange_damping: Ns/m, Nms/rad.
        joint_inertia: kg m^2.
        flange_inertia: kg, kg m^2.
        friction: Coulomb friction of the joints, Nm.
        slip: Joint speed below which friction fades, rad/s.
        joint_load: Torque that the controller does not compensate, Nm.
        flange_load: Force and torque that it does not compensate (camera, cables), N, Nm.
        reach: Share of a step's commanded angle by which the target is ahead.
        late: Share of a step that still goes to the target before.
        onset: Velocity at the start, as a share of the one the first command would settle at.
    """

    joint_stiffness: Seven = (40.0, 30.0, 50.0, 25.0, 35.0, 25.0, 10.0)
    flange_stiffness: Six = (750.0, 750.0, 750.0, 15.0, 15.0, 15.0)
    joint_damping: Seven = (4.0, 6.0, 5.0, 5.0, 3.0, 2.0, 1.0)
    flange_damping: Six = (37.0, 37.0, 37.0, 2.0, 2.0, 2.0)
    joint_inertia: Seven = (0.5, 0.5, 0.5, 0.5, 0.1, 0.1, 0.05)
    flange_inertia: Six = (3.0, 3.0, 3.0, 0.05, 0.05, 0.05)
    friction: Seven = (0.5, 0.5, 0.5, 0.5, 0.3, 0.3, 0.2)
    slip: Seven = (0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01)
    joint_load: Seven = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    flange_load: Six = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    reach: float = 1.0
    late: float = 0.5
    onset: float = 0.9


SIGNED = ("joint_load", "flange_load")
"""Constants of either sign; all others are positive, and `late` is below 1 besides."""


@dataclass(frozen=True)
class ImpedanceFile:
    """An adapter on disk, JSON.

    Attributes:
        constants: What was fitted.
        made_from: Data, settings, held-out figures.
        format: Version of this layout.
    """

    constants: Impedance
    made_from: dict = field(default_factory=dict)
    format: str = FORMAT


class ImpedanceAdapter(nn.Module):
    """See `models.adapter.Adapter`; any number of steps."""

    def __init__(self, constants: Impedance | None = None) -> None:
        super().__init__()
        self.chain = ArmChain()
        for name, value in to_plain(constants or Impedance()).items():
            self.register_parameter(name, nn.Parameter(_free(name, torch.tensor(value))))

    def value(self, name: str) -> Tensor:
        """A constant, as a function of its unbounded parameter."""
        free = self.get_parameter(name)
        return free if name in SIGNED else free.sigmoid() if name == "late" else free.exp()

    def constants(self) -> Impedance:
        """The constants as they are now."""
        values = {item.name: self.value(item.name).detach().double().tolist() for item in fields(Impedance)}
        return from_plain(Impedance, values)

    def forward(self, joints: Tensor, velocities: Tensor) -> Tensor:
        """See `models.adapter.Adapter`."""
        if joints.shape[1:] != (7,) or velocities.shape[::2] != (len(joints), 7) or velocities.ndim != 3:
            raise ShapeError(
                f"need joints (B, 7) and velocities (B, N, 7), got {tuple(joints.shape)}, {tuple(velocities.shape)}"
            )
        commanded = STEP_ANGLE * self.value("reach") * velocities
        late, period = self.value("late"), CONTROL_PERIOD / SUBSTEPS
        offset, before, reached = torch.zeros_like(joints), commanded[:, 0], []
        velocity = self._onset(joints, before)
        for ahead in commanded.unbind(1):
            inertia, stiffness, damping, load = self._posture(joints + offset)
            target = offset + late * before + (1 - late) * ahead
            for _ in range(SUBSTEPS):
                resisting = period * (damping + self._friction(velocity) + period * stiffness)
                force = _times(inertia, velocity) + period * self._force(_times(stiffness, target - offset), load)
                velocity = torch.linalg.solve(inertia + resisting, force)
                offset = offset + period * velocity
            before = ahead
            reached.append(joints + offset)
        return torch.stack(reached, dim=1)

    def _posture(self, joints: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """M, K, D ``(B, 7, 7)`` and g ``(B, 7)`` at joints ``(B, 7)``."""
        _, jacobian = self.chain(joints)
        back = jacobian.transpose(1, 2)

        def both(kind: str) -> Tensor:
            flange = back @ (self.value(f"flange_{kind}")[:, None] * jacobian)
            return flange + self.value(f"joint_{kind}").diag()

        load = _times(back, self.value("flange_load")) + self.value("joint_load")
        return both("inertia"), both("stiffness"), both("damping"), load

    def _force(self, pull: Tensor, load: Tensor) -> Tensor:
        """What moves the joints ``(B, 7)``: an arm that is not pulled rests, for friction holds its load."""
        return pull + load * pull.square() / (pull.square() + self.value("friction").square())

    def _friction(self, velocity: Tensor) -> Tensor:
        """F(q') ``(B, 7, 7)``: Coulomb friction as a damping that falls with the speed, finite at rest."""
        return (self.value("friction") / (velocity.square() + self.value("slip").square()).sqrt()).diag_embed()

    def _onset(self, joints: Tensor, commanded: Tensor) -> Tensor:
        """Velocity ``(B, 7)`` at the start, which no input tells: the arm is taken to be doing what it does first."""
        _, stiffness, damping, load = self._posture(joints)
        force = self._force(self.value("onset") * _times(stiffness, commanded), load)
        velocity = torch.zeros_like(joints)
        for _ in range(SETTLING):
            velocity = torch.linalg.solve(damping + self._friction(velocity), force)
        return velocity


def load_impedance(file: Path) -> ImpedanceAdapter:
    """An adapter that `save_impedance` wrote.

    Raises:
        BundleError: It is missing, or not such a file; says what is wrong in it.
    """
    try:
        values = json.loads(file.read_text())
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        constants = from_plain(ImpedanceFile, values).constants
        for item in fields(Impedance):
            value = torch.tensor(getattr(constants, item.name))
            if not value.isfinite().all() or (item.name not in SIGNED and not (value > 0).all()):
                raise ValueError(
                    f"constants.{item.name} must be finite{'' if item.name in SIGNED else ' and positive'}"
                )
        if not constants.late < 1:
            raise ValueError("constants.late must be below 1")
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} is no action adapter that can be read: {error}") from error
    return ImpedanceAdapter(constants).eval().requires_grad_(False)


def save_impedance(adapter: ImpedanceAdapter, file: Path, made_from: dict[str, Any]) -> None:
    """Write an adapter, to five digits, with a note of where it comes from."""
    constants = {name: _rounded(value) for name, value in to_plain(adapter.constants()).items()}
    written = {"format": FORMAT, "constants": constants, "made_from": made_from}
    file.write_text(json.dumps(written, indent=1) + "\n")


def _free(name: str, value: Tensor) -> Tensor:
    """The unbounded parameter of a constant, see `ImpedanceAdapter.value`."""
    return value if name in SIGNED else value.logit() if name == "late" else value.log()


def _rounded(value: Any) -> Any:
    return [_rounded(part) for part in value] if isinstance(value, (list, tuple)) else float(f"{value:.5g}")


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]
