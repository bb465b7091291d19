"""A small behaviour-cloned policy: two pictures, joints and words to a chunk of joint velocities and gripper.

On the way it looks at the target and the bowl and says where they are, seen from the hand; the labels of simulated
demonstrations teach it that, too, and a hundred of them then teach it words. Its weakness is that of the nominal policy
(paper, Section 4): what it never saw demonstrated it does not understand, and words it never heard say nothing to it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from models.config_io import from_plain, to_plain
from models.errors import BundleError
from models.layers import ResidualBlock
from models.text import TextEncoder
from robot_model.conventions import DROID_RESET_JOINTS

FORMAT = "vidplan policy 2"
PLACES = 6
"""Target and bowl, x y z each."""
NAMED = 2
"""The first two feature maps of a view are for the target and the bowl."""
SHARPNESS = 3.0
"""Of the attention to standardised feature maps, in the beginning."""


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of the policy.

    Attributes:
        views: What it sees, in order: the scene camera, then the wrist camera.
        image_size: (rows, columns) of one view.
        steps: Control steps (15 Hz) of a chunk; two seconds cover a plan's horizon after a committed prefix.
        width: Channels of a view's features, and places it looks at.
        hidden: Width of the layers behind them.
        text: Width of an instruction.
    """

    views: tuple[str, ...] = ("left", "wrist")
    image_size: tuple[int, int] = (48, 80)
    steps: int = 30
    width: int = 24
    hidden: int = 256
    text: int = 32


class Answer(NamedTuple):
    """What the network answers.

    Attributes:
        chunk: ``(B, steps, 8)`` standardised velocities and the logit of a closed gripper.
        places: ``(B, 6)`` target and bowl, decimetres from the flange along the base frame's axes.
        gaze: ``(B, V, 2, places)`` share of attention to each place of a view, for the target and the bowl.
    """

    chunk: Tensor
    places: Tensor
    gaze: Tensor


class Eye(nn.Module):
    """Where things are in one view: expected places of feature maps that the instruction modulates."""

    places: Tensor

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, config.width // 2, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(config.width // 2, config.width, 3, stride=2, padding=1),
        )
        self.first = ResidualBlock(config.width, config.width, config.text)
        self.second = ResidualBlock(config.width, config.width, config.text)
        self.sharpness = nn.Parameter(torch.full((config.width, 1), SHARPNESS))
        rows, columns = config.image_size[0] // 4, config.image_size[1] // 4
        y, x = torch.meshgrid(torch.linspace(-1, 1, rows), torch.linspace(-1, 1, columns), indexing="ij")
        self.register_buffer("places", torch.stack([x, y], -1).flatten(0, 1), persistent=False)

    def forward(self, pictures: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(B, 3, h, w)`` in [-1, 1] and ``(B, text)`` to what is seen, and to attention ``(B, width, places)``.

        The first is ``(B, 3 * width)``: x, y and strength per channel.
        """
        maps = self.second(self.first(self.stem(pictures), words), words).flatten(2)
        standard = (maps - maps.mean(-1, keepdim=True)) / (maps.std(-1, keepdim=True) + 1e-3)
        attention = (standard * self.sharpness).softmax(-1)
        return torch.cat([(attention @ self.places).flatten(1), (attention * maps).sum(-1)], dim=1), attention


class ClonedPolicy(nn.Module):
    """See the module's text.

    Attributes:
        config: Sizes.
        scale: ``(7,)`` rad/s of a standardised velocity.
    """

    rest: Tensor
    scale: Tensor

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.words = TextEncoder(config.text)
        self.eyes = nn.ModuleList(Eye(config) for _ in config.views)
        seen = 3 * config.width * len(config.views)
        self.choice = nn.Linear(config.text, seen)
        self.where = nn.Sequential(nn.Linear(seen + 8, config.hidden), nn.SiLU(), nn.Linear(config.hidden, PLACES))
        inputs = seen + PLACES + 8 + config.text
        self.chunk = nn.Sequential(
            nn.Linear(inputs, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.hidden),
            nn.SiLU(),
            nn.Linear(config.hidden, config.steps * 8),
        )
        self.register_buffer("rest", torch.tensor(DROID_RESET_JOINTS.tolist()), persistent=False)
        self.register_buffer("scale", torch.ones(7))

    def forward(self, pictures: Tensor, joints: Tensor, gripper: Tensor, prompts: Sequence[str]) -> Answer:
        """Answer to an observation.

        Args:
            pictures: ``(B, V, h, w, 3)`` uint8 RGB.
            joints: ``(B, 7)`` rad.
            gripper: ``(B,)`` 0 open .. 1 closed.
            prompts: One instruction per row.
        """
        views = pictures.movedim(-1, 2).float() / 127.5 - 1
        words = self.words(prompts)
        looks = [eye(views[:, index], words) for index, eye in enumerate(self.eyes)]
        seen = torch.cat([features for features, _ in looks], dim=1)
        seen = seen * (1 + self.choice(words))  # which of the things seen is meant
        state = torch.cat([joints - self.rest, gripper[:, None]], dim=1)
        places = self.where(torch.cat([seen, state], dim=1))
        chunk = self.chunk(torch.cat([seen, places, state, words], dim=1))
        gaze = torch.stack([attention[:, :NAMED] for _, attention in looks], dim=1)
        return Answer(chunk.unflatten(1, (self.config.steps, 8)), places, gaze)

    @torch.no_grad()
    def act(self, pictures: Tensor, joints: Tensor, gripper: Tensor, prompts: Sequence[str]) -> Tensor:
        """Chunks ``(B, steps, 8)``: joint velocities [rad/s] at 15 Hz and the probability of a closed gripper."""
        answer = self(pictures, joints, gripper, prompts).chunk
        return torch.cat([answer[..., :7] * self.scale, answer[..., 7:].sigmoid()], dim=-1)


def save_policy(policy: ClonedPolicy, file: Path) -> None:
    """Write weights and sizes into one file."""
    about = {"format": FORMAT, "config": json.dumps(to_plain(policy.config))}
    save_file({name: value.contiguous() for name, value in policy.state_dict().items()}, file, about)


def load_policy(file: Path) -> ClonedPolicy:
    """The policy in a file, ready to act.

    Raises:
        BundleError: It is missing, damaged, or no policy.
    """
    try:
        with safe_open(file, "pt") as opened:
            about = opened.metadata() or {}
        if about.get("format") != FORMAT:
            raise BundleError(f"{file} is no policy of this version; train one with `vidplan policy train`")
        policy = ClonedPolicy(from_plain(PolicyConfig, json.loads(about["config"])))
        policy.load_state_dict(load_file(file))
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError) as error:
        raise BundleError(
            f"{file} cannot be read as a policy: {error}. Train one with `vidplan policy train`"
        ) from error
    return policy.eval().requires_grad_(False)
