"""Stage ``policy``: behaviour cloning with the shared training loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.data import Dataset
from models.policy import Answer, ClonedPolicy, PolicyConfig, save_policy
from models.policy_demonstrations import Demonstrations, demonstrations
from models.text import word_buckets
from models.training.config import LoopConfig
from models.training.loop import Draw, train

VIEWS = ("left", "right", "wrist")
JOINT_NOISE = 0.01
"""rad of noise on the joints it is told, so that it looks at the pictures."""
LIGHT = 0.2
"""Largest change of brightness and contrast of a view, as a share."""
BLOTS, BLOT_SIZE = 2, (1.5, 10.0)
"""Most blots of any colour per view, and their half axes in pixels: what is not named is to be ignored."""
FADING = 20.0
"""Control steps after which an action counts 1/e as much: later ones are looked at again before they are due."""
SHARES = {"velocity": 1.0, "gripper": 0.3, "places": 0.5, "gaze": 0.2}
"""Weights of the losses."""
EVALUATED = 256


class PolicyStage:
    """Random frames of the demonstrations.

    Attributes:
        module: The policy.
    """

    name = "policy"

    def __init__(self, data: Path, config: PolicyConfig, objects: int, seed: int) -> None:
        """Read the demonstrations of both splits.

        Raises:
            DatasetError: A split has none.
        """
        self.splits = {}
        for split in ("train", "val"):
            # All views, although it sees two: the frames are then decoded once for all that is trained on them.
            dataset = Dataset(data, split, image_size=config.image_size, views=VIEWS)
            self.splits[split] = dataset, demonstrations(dataset, config.steps, objects)
        self.columns = [VIEWS.index(view) for view in config.views]
        torch.manual_seed(seed)
        self.module = ClonedPolicy(config)
        self._tell_words_apart()
        spread = self.splits["train"][1].actions[..., :7].std((0, 1))
        self.module.scale.copy_(torch.from_numpy(spread).clamp(min=1e-3))

    def _tell_words_apart(self) -> None:
        """Give the words of the demonstrations vectors to begin with; all others stay zero and say nothing."""
        heard = {bucket for prompt in self.splits["train"][1].prompts for bucket in word_buckets(prompt)}
        vectors = self.module.words.words.weight.data
        vectors[sorted(heard)] = torch.randn(len(heard), vectors.shape[1])

    def loss(self, batch: int, draw: Draw) -> tuple[Tensor, dict[str, float]]:
        """See `loop.Stage`."""
        dataset, shown = self.splits["train"]
        chosen = draw.mine(draw.rows.integers(len(shown.rows), size=batch))
        noise = draw.mine(JOINT_NOISE * torch.randn(batch, 7, generator=draw.noise))
        uniform = torch.rand(batch, 2, len(self.columns), generator=draw.noise)
        light = draw.mine(1 + LIGHT * (2 * uniform - 1))
        blots = draw.mine(torch.rand(batch, len(self.columns), BLOTS, 8, generator=draw.noise))
        answer, target = self._answer(dataset, shown, chosen, draw, noise, (light, blots))
        where = draw.place(torch.from_numpy(10 * shown.places[chosen]))
        masks = draw.place(self._masks(dataset, shown, chosen))
        return _losses(self.module, answer, target, where, masks)

    def notes(self) -> dict[str, Any]:
        """See `loop.Stage`."""
        shown = self.splits["train"][1]
        return {"episodes": shown.episodes, "frames": len(shown.rows), "prompts": sorted(set(shown.prompts))}

    @torch.no_grad()
    def metrics(self) -> dict[str, Any]:
        """Errors on held-out demonstrations: joint velocities [rad/s], beside standing still; target [m]; gripper."""
        dataset, shown = self.splits["val"]
        chosen = np.unique(np.linspace(0, len(shown.rows) - 1, EVALUATED).astype(int))
        answer, target = self._answer(dataset, shown, chosen)
        missed = (answer.places / 10 - torch.from_numpy(shown.places[chosen])).unflatten(1, (2, 3)).norm(dim=2)
        wrong = (answer.chunk[..., 7] > 0) != (target[..., 7] > 0.5)
        return {
            "velocity error": round(
                (answer.chunk[..., :7] * self.module.scale - target[..., :7]).abs().mean().item(), 4
            ),
            "standing still": round(target[..., :7].abs().mean().item(), 4),
            "target missed by": round(missed[:, 0].mean().item(), 4),
            "gripper wrong": round(wrong.float().mean().item(), 4),
            "episodes": shown.episodes,
        }

    def _answer(
        self,
        dataset: Dataset,
        shown: Demonstrations,
        chosen: np.ndarray,
        draw: Draw | None = None,
        noise: Tensor | float = 0.0,
        disturbance: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Answer, Tensor]:
        """The policy's answer and the demonstrated actions ``(B, steps, 8)`` at frames of the demonstrations."""
        pictures = torch.from_numpy(dataset.frames[shown.rows[chosen]][:, self.columns])
        joints, gripper, target = (
            torch.from_numpy(values[chosen]) for values in (shown.joints, shown.gripper, shown.actions)
        )
        if draw:
            pictures, joints, gripper, target = (draw.place(v) for v in (pictures, joints, gripper, target))
        if disturbance is not None:
            light, blots = disturbance
            brightness, contrast = light[:, 0, :, None, None, None], light[:, 1, :, None, None, None]
            pictures = ((blotted(pictures, blots) - 128.0) * contrast + 128) * brightness
            pictures = pictures.clamp(0, 255)
        prompts = [shown.prompts[index] for index in chosen]
        return self.module(pictures, joints + noise, gripper, prompts), target

    def _masks(self, dataset: Dataset, shown: Demonstrations, chosen: np.ndarray) -> Tensor:
        """Where target and bowl are in the views ``(B, V, 2, places)``, on the grid of the feature maps."""
        classes = torch.from_numpy(dataset.segmentation[shown.rows[chosen]][:, self.columns])
        named = torch.from_numpy(shown.named[chosen])[:, None, :, None, None]
        theirs = (classes[:, :, None] == named).float()
        return functional.max_pool2d(theirs.flatten(0, 1), 4).unflatten(0, classes.shape[:2]).flatten(3)


def train_policy(data: Path, out: Path, loop: LoopConfig, objects: int, config: PolicyConfig) -> dict[str, Any]:
    """Train a policy and leave it in ``OUT/policy.safetensors``; the report, as `loop.train` writes it.

    Raises:
        ModelsError: The data has no demonstrations, or the run cannot go on.
    """
    stage = PolicyStage(data, config, objects, loop.seed)
    report = train(stage, loop, out)
    save_policy(stage.module, out / "policy.safetensors")
    return report


def blotted(pictures: Tensor, draws: Tensor) -> Tensor:
    """Views ``(B, V, h, w, 3)`` with ellipses of any colour on them.

    Args:
        pictures: uint8 RGB.
        draws: ``(B, V, n, 8)`` uniform in [0, 1): place, half axes, whether it is there at all, colour.
    """
    rows, columns = pictures.shape[2:4]
    y = torch.arange(rows, device=pictures.device).view(1, 1, rows, 1)
    x = torch.arange(columns, device=pictures.device).view(1, 1, 1, columns)
    result = pictures.float()
    for one in draws.unbind(2):
        across, down, a, b, there, *colour = (value[..., None, None] for value in one.unbind(-1))
        a, b = (BLOT_SIZE[0] + (BLOT_SIZE[1] - BLOT_SIZE[0]) * half**2 for half in (a, b))
        inside = ((x - across * columns) / a) ** 2 + ((y - down * rows) / b) ** 2 < 1
        paint = 255 * torch.stack(colour, -1)
        result = torch.where((inside & (there < 0.5))[..., None], paint, result)
    return result


def _losses(
    policy: ClonedPolicy, answer: Answer, target: Tensor, where: Tensor, masks: Tensor
) -> tuple[Tensor, dict[str, float]]:
    weight = torch.exp(-torch.arange(policy.config.steps, device=target.device) / FADING)
    weight = weight / weight.mean()
    chunk = answer.chunk.float()
    far = functional.smooth_l1_loss(chunk[..., :7], target[..., :7] / policy.scale, beta=0.1, reduction="none")
    wrong = functional.binary_cross_entropy_with_logits(chunk[..., 7], target[..., 7], reduction="none")
    seen = masks.sum(-1) > 0
    parts = {
        "velocity": (far.mean(-1) * weight).mean(),
        "gripper": (wrong * weight).mean(),
        "places": functional.smooth_l1_loss(answer.places.float(), where, beta=0.1),
        "gaze": (-torch.log((answer.gaze.float() * masks).sum(-1) + 1e-4) * seen).sum() / seen.sum().clamp(min=1),
    }
    loss = sum((SHARES[name] * part for name, part in parts.items()), torch.zeros((), device=target.device))
    return loss, {name: part.item() for name, part in parts.items()}
