"""A bundle as S-QUBED's video model and embedders: a prompt becomes a motion in a scene, which is imagined.

The prompt's first known object is looked for by the semantic reward in the fixed views. A chunk flies the tool point,
at the bundle's speed, towards a spot of the table that is drawn in proportion to its relevance: where the reward is
sure, all chunks go to one place; a thing that it finds nowhere may be anywhere. Every video comes from another noise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.bundle import Bundle
from models.conditioning import pose_matrix
from models.interfaces import Imagined
from models.training.phrases import SYNONYMS
from models.uncertainty.squbed.interfaces import Task
from models.uncertainty.squbed.scenes import Scenes
from robot_model.conventions import PINCH_OFFSET

TABLE_LOW, TABLE_HIGH = (0.30, -0.30), (0.68, 0.30)
"""Metres: where things lie."""
SPACING = 0.02
HEIGHT = 0.03
"""Metres above the table: the middle of things."""
SOMEWHERE = 0.1
"""Weight of all spots together for being unseen there, against 1 for one spot that every fixed view is sure of."""
_ASKED = re.compile(
    r"\W*(?:please )?\w+ (?:up |down )?(.+?)"
    r"(?= (?:in|into|on|onto|to|over|inside|from|with|while|without|along|and|\w+ly)\b|$)"
)
"""Verb, object, and the words at which the object ends."""
CHUNK = 10
WIDTH = 512
"""Of a video's embedding."""


class SceneVideos:
    """See the module's docstring."""

    def __init__(self, bundle: Bundle, scenes: Scenes, steps: int = 1) -> None:
        """Videos that begin in ``scenes``, made in ``steps`` of the flow map."""
        self._bundle, self._scenes, self._steps = bundle, scenes, steps
        self.name = f"drawn flights of bundle {bundle.hash[:16]} {scenes.name} {steps}"

    @torch.no_grad()
    def generate(self, task: Task, prompt: str, count: int, seed: int) -> np.ndarray:
        """See `VideoModel`; the views of a frame lie side by side, and the video begins with the newest real frame."""
        return decoded(self._bundle, self.imagine(task, prompt, count, seed, chunks=count))

    @torch.no_grad()
    def imagine(self, task: Task, prompt: str, count: int, seed: int, chunks: int = 1) -> Imagined:
        """The same before it is decoded: ``count`` futures, all of one chunk or (``chunks=count``) each of its own."""
        history, poses = self._scenes.start(task)
        phrase = phrase_of(prompt, self._bundle.config.phrases)
        spots = self._spots(history[:, -1:], poses[:, -1], phrase, chunks, torch.Generator().manual_seed(seed))
        flights = torch.stack([flight(self._bundle, poses[0, -1], spot) for spot in spots])
        return futures(self._bundle, history, poses, flights.expand(count, -1, -1), seed, self._steps)

    def _spots(self, frame: Tensor, pose: Tensor, phrase: str, count: int, generator: torch.Generator) -> Tensor:
        """Points ``(count, 3)`` above the table, base frame, metres, where the phrase may be, by relevance."""
        spots = self._bundle.world_model.conditioner.heat_maps
        x, y = (torch.arange(low, high, SPACING) for low, high in zip(TABLE_LOW, TABLE_HIGH, strict=True))
        grid = torch.cartesian_prod(x, y)
        points = torch.cat([grid, torch.full((len(grid), 1), HEIGHT)], dim=1)
        pixels, depth = spots.project(points[None], pose_matrix(pose))
        rows, columns = self._bundle.config.image_size
        relevance = self._bundle.semantic.relevance(frame, phrase)[0, 0]
        places = 2 * pixels[0] / pixels.new_tensor([columns, rows]) - 1
        seen = functional.grid_sample(relevance[:, None], places[:, :, None], align_corners=False)[:, 0, :, 0]
        fixed = torch.tensor([not riding for riding in spots.riding])
        weights = (seen * (depth[0] > 0))[fixed].prod(dim=0) + SOMEWHERE / len(points)
        return points[torch.multinomial(weights, count, replacement=True, generator=generator)]


def flight(bundle: Bundle, pose: Tensor, target: Tensor) -> Tensor:
    """Chunk ``(H, 7)`` of commanded poses that takes the tool point straight from a pose ``(7,)`` towards a point."""
    spec = bundle.config
    tool = pose_matrix(pose[None])[0] @ torch.tensor(PINCH_OFFSET[:, 3].copy()).float()
    way = target - tool[:3]
    length = way.norm()
    travelled = spec.max_linear_speed * spec.frame_period * torch.arange(1, spec.horizon + 1)
    moves = way / length.clamp(min=1e-6) * travelled.clamp(max=length.item())[:, None]
    chunk = pose.expand(spec.horizon, 7).clone()
    chunk[:, :3] = (chunk[:, :3] + moves).clamp(torch.tensor(spec.workspace_lower), torch.tensor(spec.workspace_upper))
    return chunk


@torch.no_grad()
def futures(bundle: Bundle, history: Tensor, poses: Tensor, actions: Tensor, seed: int, steps: int = 1) -> Imagined:
    """One future of each of N chunks in one scene, each from another noise.

    Args:
        bundle: Whose video model imagines.
        history: ``(1, T, C, V*h, w)`` latents.
        poses: ``(1, T, 7)`` measured.
        actions: ``(N, H, 7)`` commanded; may be N times the same.
        seed: Of the noise.
        steps: Of the flow map, at least one: the expected future has no spread.
    """
    count, horizon = actions.shape[:2]
    noise = torch.randn(count, horizon, *history.shape[2:], generator=torch.Generator().manual_seed(seed))
    history, poses = (values.expand(count, *values.shape[1:]) for values in (history, poses))
    parts = [
        bundle.world_model.imagine(history[rows], poses[rows], actions[rows], steps=steps, noise=noise[rows]).latents
        for rows in torch.arange(count).split(CHUNK)
    ]
    return Imagined(torch.cat(parts), history, poses, actions)


@torch.no_grad()
def decoded(bundle: Bundle, imagined: Imagined) -> np.ndarray:
    """Videos ``(N, 1 + H, rows, V * columns, 3)``: the newest real frame and what was imagined, views side by side."""
    latents = torch.cat([imagined.history[:, -1:], imagined.latents], dim=1)
    videos = torch.cat([bundle.world_model.decode(part) for part in latents.split(CHUNK)])
    return np.concatenate(list(videos.movedim(2, 0).numpy()), axis=3)


class BundleTexts:
    """Embeds prompts as the bundle's semantic reward reads them: by the objects it was trained on."""

    def __init__(self, bundle: Bundle) -> None:
        self._encoder = bundle.semantic.text
        self.name = f"bundle's text {bundle.hash[:16]}"

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See `TextEmbedder`."""
        return self._encoder(texts).double().numpy()


class LatentVideos:
    """Embeds videos by the bundle's autoencoder: the mean latent frame and the change from first to last, coarse.

    Mixed down by a fixed random projection, which keeps angles (Johnson and Lindenstrauss).
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self.name = f"latents {bundle.hash[:16]}"

    @torch.no_grad()
    def embed(self, videos: np.ndarray) -> np.ndarray:
        """See `VideoEmbedder`; views lie side by side, as `SceneVideos` puts them, or there is one, of any size."""
        spec = self._bundle.config
        rows, columns = spec.image_size
        views = len(spec.views) if videos.shape[2:4] == (rows, columns * len(spec.views)) else 1
        pixels = torch.from_numpy(np.ascontiguousarray(videos)).unflatten(3, (views, -1)).movedim(3, 2)
        if pixels.shape[3:5] != spec.image_size:
            flat = pixels.flatten(0, 2).movedim(-1, 1).float()
            flat = functional.interpolate(flat, size=spec.image_size, mode="area").round().byte().movedim(1, -1)
            pixels = flat.unflatten(0, pixels.shape[:3])
        latents = torch.cat([self._bundle.world_model.autoencoder.encode_frames(part) for part in pixels.split(CHUNK)])
        coarse = functional.avg_pool2d(latents.flatten(0, 1), 2).unflatten(0, latents.shape[:2])
        change = coarse[:, -1] - coarse[:, 0]
        whole = torch.cat([coarse.mean(1).flatten(1), change.flatten(1)], dim=1)
        mixed = torch.randn(whole.shape[1], WIDTH, generator=torch.Generator().manual_seed(0)) / WIDTH**0.5
        return (whole @ mixed).double().numpy()


def phrase_of(prompt: str, phrases: tuple[str, ...]) -> str:
    """What a prompt is about: the words after the verb, as a known name where they hold one or its synonym."""
    text = prompt.lower()
    asked = _ASKED.match(text)
    about = asked[1] if asked else text
    names = {other: name for name in phrases for other in (*SYNONYMS.get(name, ()), name)}
    found = [(about.index(other), -len(other), other) for other in names if other in about]
    return names[min(found)[2]] if found else about
