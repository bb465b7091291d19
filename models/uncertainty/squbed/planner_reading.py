"""S-QUBED as a planner reads it: Z is the chunk of motion a refined instruction asks for, V what is imagined of it.

Aleatoric is then the spread of the motions that an instruction admits, epistemic that of the futures imagined for one
of them. Both embeddings are fixed, so numbers can be compared between scenes and runs of one bundle. Each has a
constant coordinate: standing still and nothing happening are directions too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.conditioning import pose_matrix
from models.interfaces import Imagined
from models.uncertainty.squbed.bundle_parts import SceneVideos
from models.uncertainty.squbed.decomposition import decompose
from models.uncertainty.squbed.estimate import Estimate, given
from models.uncertainty.squbed.interfaces import PromptRefiner, Task
from models.uncertainty.squbed.samples import Amounts, seed_of
from robot_model.conventions import PINCH_OFFSET

REACH = 0.10
"""Metres the tool flies in a chunk that counts as much as the constant coordinate."""
CHANGES = 31
"""Coordinates to which imagined changes are mixed down."""


def chunk_directions(history_poses: Tensor, actions: Tensor) -> np.ndarray:
    """Unit vectors ``(N, 8)`` of chunks: where the tool is half-way and at the end, the gripper, and the constant.

    Args:
        history_poses: ``(N, T, 7)`` measured poses.
        actions: ``(N, H, 7)`` commanded poses.
    """
    pinch = torch.tensor(PINCH_OFFSET[:, 3].copy()).float()
    tool = (pose_matrix(torch.cat([history_poses[:, -1:], actions], dim=1)) @ pinch)[..., :3]
    moved = (tool[:, 1:] - tool[:, :1]) / REACH
    gripper = actions[:, -1, 6:] - history_poses[:, -1, 6:]
    middle = moved[:, actions.shape[1] // 2]
    return _unit(torch.cat([middle, moved[:, -1], gripper, torch.ones(len(actions), 1)], dim=1))


def change_directions(imagined: Imagined, change_scale: Sequence[float]) -> np.ndarray:
    """Unit vectors ``(N, 32)`` of imagined futures: the latents' change in its own unit, mixed down, and the constant.

    Args:
        imagined: N futures.
        change_scale: Usual change after 1..H frames, of the bundle.
    """
    scale = torch.tensor(change_scale).view(1, -1, 1, 1, 1)
    changes = ((imagined.latents - imagined.history[:, -1:]) / scale).flatten(1)
    mix = torch.randn(changes.shape[1], CHANGES, generator=torch.Generator().manual_seed(0))
    mixed = changes @ mix / (changes.shape[1] * CHANGES) ** 0.5
    return _unit(torch.cat([mixed, torch.ones(len(mixed), 1)], dim=1))


def read(
    tasks: Sequence[Task],
    bundle: Bundle,
    scenes: SceneVideos,
    refiner: PromptRefiner,
    amounts: Amounts,
    say: Callable[[str, float], None] = lambda what, share: None,
) -> list[Estimate]:
    """Uncertainty of every task.

    Args:
        tasks: Instructions and their scenes.
        bundle: Whose video model is asked.
        scenes: Turns refined instructions into chunks and imagines them.
        refiner: Says what an instruction may mean.
        amounts: How much to sample.
        say: Told what is done, and the share of it that is.
    """
    found = []
    for index, task in enumerate(tasks):
        say(f"instruction {index + 1} of {len(tasks)}: {task.prompt}", 0.0)
        refined = refiner.refine(task, amounts.refinements, amounts.seed)
        futures = [
            scenes.imagine(task, prompt, amounts.videos, seed_of(amounts, z)) for z, prompt in enumerate(refined)
        ]
        chunks = chunk_directions(
            torch.cat([future.history_poses[:1] for future in futures]),
            torch.cat([future.actions[:1] for future in futures]),
        )
        changes = [change_directions(future, bundle.config.change_scale) for future in futures]
        found.append(Estimate(task, decompose(chunks, changes), tuple(refined), given(task)))
    return found


def _unit(vectors: Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors.double(), dim=1).numpy()
