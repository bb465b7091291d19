"""S-QUBED as a planner reads it: Z is the chunk of motion a refined instruction asks for, V what is imagined of it.

Aleatoric is then the spread of the motions that an instruction admits, epistemic that of the futures imagined for one
of them. Both embeddings are fixed, so numbers can be compared between scenes and runs of one bundle.

Futures are compared by meaning, as the paper does with a video encoder: by the features with which the semantic reward
finds objects, region by region. One vector for the whole video would be about the arm, which fills most of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.bundle import Bundle
from models.conditioning import pose_matrix
from models.interfaces import Imagined
from models.semantic import SemanticHead
from models.uncertainty.squbed.bundle_parts import CHUNK, SceneVideos
from models.uncertainty.squbed.decomposition import Decomposition, decompose
from models.uncertainty.squbed.estimate import Estimate, given
from models.uncertainty.squbed.interfaces import PromptRefiner, Task
from models.uncertainty.squbed.samples import Amounts, seed_of
from robot_model.conventions import PINCH_OFFSET

REACH = 0.10
"""Metres the tool flies in a chunk that counts as much as the constant coordinate."""
REGION = 8
"""Semantic cells along each side of a region: a view has 3 x 5 of them."""


def chunk_directions(history_poses: Tensor, actions: Tensor) -> np.ndarray:
    """Unit vectors ``(N, 8)`` of chunks: where the tool is half-way and at the end, the gripper, and a constant.

    The constant makes standing still a direction, too.

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


@torch.no_grad()
def region_directions(imagined: Imagined, semantic: SemanticHead) -> np.ndarray:
    """Unit vectors ``(N, regions, 2 * features)``: what each region shows half-way and at the end."""
    chosen = imagined.latents[:, [imagined.latents.shape[1] // 2, -1]]
    features = torch.cat([semantic.features(part) for part in chosen.split(CHUNK)])  # (N, 2, V, features, a, b)
    coarse = functional.avg_pool2d(features.flatten(0, 2), REGION).unflatten(0, features.shape[:3])
    return _unit(coarse.permute(0, 2, 4, 5, 1, 3).flatten(4).flatten(1, 3))


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
        found.append(Estimate(task, uncertainty(futures, bundle), tuple(refined), given(task)))
    return found


def uncertainty(futures: Sequence[Imagined], bundle: Bundle) -> Decomposition:
    """Of one instruction, from the futures of each chunk that it admits."""
    chunks = chunk_directions(
        torch.cat([future.history_poses[:1] for future in futures]),
        torch.cat([future.actions[:1] for future in futures]),
    )
    return decompose(chunks, [region_directions(future, bundle.semantic) for future in futures])


def _unit(vectors: Tensor) -> np.ndarray:
    return functional.normalize(vectors.double(), dim=-1).numpy()
