"""A toy world in which every quantity of the planner is known, painted into the colours of the pictures.

Red is relevance, green is uncertainty; a model imagines that pictures stay as they are. The value of a frame is high
where the commanded flange is near `GOAL`. So the right answer to every plan can be computed by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.cameras import Camera
from models.interfaces import Imagined, Uncertainty
from plan_protocol.messages import Observation, PlanRequest
from plan_protocol.server import Context
from planner_server.config import PlannerConfig
from planner_server.limits import Limits
from planner_server.planner import Planner
from planner_server.proposers.basis import BasisProposer
from planner_server.proposers.biased import BiasedProposer, PreviousPlan
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.franka import FR3, PANDA
from robot_model.kinematics import ArmKinematics

GOAL = torch.tensor([0.45, 0.10, 0.35])
SIZE = (48, 80)
GRID = (12, 20)
VIEWS = ("left", "right", "wrist")
H, T, PERIOD = 5, 2, 0.2
KINEMATICS = ArmKinematics(PANDA)
ARMS = (KINEMATICS, ArmKinematics(FR3))
START = np.array([*KINEMATICS.forward_pose(DROID_RESET_JOINTS), 0.0])
LIMITS = Limits((0.2, -0.45, 0.05), (0.75, 0.45, 0.7), 0.25, 1.0, 2.5, PERIOD)


def camera(name: str, mount: str, transform: list[list[float]]) -> Camera:
    matrix = ((60.0, 0.0, 40.0), (0.0, 60.0, 24.0), (0.0, 0.0, 1.0))
    return Camera(name, matrix, mount, tuple(tuple(row) for row in transform))


# left looks along -x from x = 1.3 (image x is base y), right along +y from y = -0.9 (image x is base x); image y is
# base -z in both. The wrist camera sits beside the flange and looks along the approach.
CAMERAS = (
    camera("left", "base", [[0, 0, -1, 1.3], [1, 0, 0, 0], [0, -1, 0, 0.35], [0, 0, 0, 1]]),
    camera("right", "base", [[1, 0, 0, 0.4], [0, 0, 1, -0.9], [0, -1, 0, 0.35], [0, 0, 0, 1]]),
    camera("wrist", "flange", [[1, 0, 0, 0.05], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
)


class ToyWorld:
    """Latents: red, green and the value of the action, on a coarse grid; every call is counted."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.actions: list[Tensor] = []
        self.noises: list[Tensor] = []
        self.histories: list[Tensor] = []
        self.history_poses: list[Tensor] = []
        self.instructions: set[str] = set()

    def encode(self, images: Tensor) -> Tensor:
        B, frames, V = images.shape[:3]
        colours = images.float().movedim(-1, 3).flatten(0, 2) / 255
        grid = functional.adaptive_avg_pool2d(colours, GRID).view(B, frames, V, 3, *GRID)
        return grid.movedim(2, 3).flatten(3, 4)

    def initial_noise(self, history: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn((len(history), H, *history.shape[2:]), generator=generator)

    def imagine(
        self,
        history: Tensor,
        history_poses: Tensor,
        actions: Tensor,
        *,
        steps: int = 1,
        generator: torch.Generator | None = None,
        noise: Tensor | None = None,
        instruction: str = "",
    ) -> Imagined:
        assert noise is not None
        assert noise.shape == (len(actions), H, *history.shape[2:])
        self.batches.append(len(actions))
        self.actions.append(actions.detach().clone())
        self.noises.append(noise)
        self.instructions.add(instruction)
        self.histories.append(history)
        self.history_poses.append(history_poses)
        value = torch.exp(-4 * (actions[..., :3] - GOAL).norm(dim=-1))
        latents = history[:, -1:].repeat(1, H, 1, 1, 1)
        latents = torch.cat([latents[:, :, :2], value[..., None, None, None].expand(-1, -1, 1, *latents.shape[3:])], 2)
        return Imagined(latents, history, history_poses, actions)

    def decode(self, latents: Tensor) -> Tensor:
        B, frames = latents.shape[:2]
        grid = latents.unflatten(3, (len(VIEWS), GRID[0])).movedim(3, 2).flatten(0, 2)
        fine = functional.interpolate(grid, size=SIZE).view(B, frames, len(VIEWS), 3, *SIZE)
        return (fine.clamp(0, 1) * 255).round().to(torch.uint8).movedim(3, -1)


def per_view(latents: Tensor, channel: int) -> Tensor:
    return latents[:, :, channel].unflatten(2, (len(VIEWS), GRID[0]))


class ToyUncertainty:
    def __call__(self, imagined: Imagined) -> Uncertainty:
        h = per_view(imagined.latents, 1)
        return Uncertainty(h, h, h)


class ToySemantic:
    def relevance(self, latents: Tensor, phrase: str) -> Tensor:
        return per_view(latents, 0) if phrase == "carrot" else 0 * per_view(latents, 0)


class ToyValue:
    def __call__(self, imagined: Imagined, relevance: Tensor) -> Tensor:
        value = imagined.latents[:, :, 2].mean((-2, -1))
        return torch.stack([1 - value, value], -1)

    def expected(self, probabilities: Tensor) -> Tensor:
        return probabilities[..., 1]


@dataclass
class ToyBundle:
    world_model: ToyWorld = field(default_factory=ToyWorld)
    uncertainty: Any = field(default_factory=ToyUncertainty)
    semantic: Any = field(default_factory=ToySemantic)
    value: Any = field(default_factory=ToyValue)
    familiarity: Any = None
    hash: str = "0" * 64
    config: Any = field(
        default_factory=lambda: SimpleNamespace(
            name="toy",
            views=VIEWS,
            image_size=SIZE,
            history_offsets=(-1, 0),
            frame_period=PERIOD,
            horizon=H,
            cameras=CAMERAS,
        )
    )


class ToyContext(Context):
    """A context that keeps the stages it hears of and can cancel itself when one begins."""

    def __init__(self, robot_id: str = "arm", cancel_at: str = ""):
        super().__init__(robot_id, "session")
        self.stages: list[str] = []
        self._cancel_at = cancel_at

    def progress(self, stage: str, fraction: float) -> None:
        self.stages.append(stage)
        if stage == self._cancel_at:
            self.cancel()


def picture(view: int | None = None, spots: tuple[tuple[int, int, int, int], ...] = ()) -> np.ndarray:
    """History images ``(T, V, H, W, 3)``: black, with 8x8 squares ``(x, y, red, green)`` in one view (or in all)."""
    images = np.zeros((T, len(VIEWS), *SIZE, 3), np.uint8)
    for x, y, red, green in spots:
        area = (slice(None), slice(None) if view is None else view, slice(y - 4, y + 4), slice(x - 4, x + 4))
        images[(*area, 0)] = red
        images[(*area, 1)] = green
    return images


def request(images: np.ndarray | None = None, committed: np.ndarray | None = None, **changes: Any) -> PlanRequest:
    values: dict[str, Any] = {
        "instruction": "put the carrot in the bowl",
        "observation": Observation(
            images=picture() if images is None else images,
            stamps=np.array([9.8, 10.0]),
            poses=np.stack([START, START]),
            joints=np.array(DROID_RESET_JOINTS),
        ),
        "committed": np.zeros((0, 7)) if committed is None else committed,
        "start_joints": np.array(DROID_RESET_JOINTS),
        "deadline": 5.0,
        "seed": 3,
    }
    return PlanRequest(**{**values, **changes})


def toy_planner(config: PlannerConfig | None = None, bundle: ToyBundle | None = None) -> Planner:
    config = config or PlannerConfig()
    proposers = (BasisProposer(config.speeds, config.yaw_speed), BiasedProposer(PreviousPlan(), 3, 0.02, 0.1, 0.2))
    return Planner(bundle or ToyBundle(), proposers, ARMS, LIMITS, config)  # type: ignore[arg-type]
