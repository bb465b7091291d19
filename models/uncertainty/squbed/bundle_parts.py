"""A bundle as S-QUBED's video model and embedders: a prompt becomes a motion in a recorded scene, which is imagined.

The prompt's first known object is looked for by the semantic reward in the fixed views; the chunk flies the tool point
towards the spot of the table where it is most relevant, at the bundle's speed. Every video comes from another noise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.bundle import Bundle
from models.conditioning import pose_matrix
from models.errors import ModelsError
from models.evaluation.footage import Footage
from models.interfaces import Imagined
from models.training.phrases import SYNONYMS
from models.uncertainty.squbed.interfaces import Task
from robot_model.conventions import PINCH_OFFSET

TABLE_LOW, TABLE_HIGH = (0.30, -0.30), (0.68, 0.30)
"""Metres: where things lie."""
SPACING = 0.02
HEIGHT = 0.03
"""Metres above the table: the middle of things."""
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

    def __init__(self, bundle: Bundle, data: Path, split: str = "val", steps: int = 1) -> None:
        """Open the scenes.

        Raises:
            DatasetError: There is no usable episode.
        """
        self._bundle, self._footage, self._steps = bundle, Footage(bundle, data, split), steps
        self._starts = {cached.episode.name: cached for cached in self._footage.data.episodes}
        self.name = f"bundle {bundle.hash[:16]} {data.name} {split} {steps}"

    @torch.no_grad()
    def generate(self, task: Task, prompt: str, count: int, seed: int) -> np.ndarray:
        """See `VideoModel`; the views of a frame lie side by side, and the video begins with the newest real frame."""
        imagined = self.imagine(task, prompt, count, seed)
        latents = torch.cat([imagined.history[:, -1:], imagined.latents], dim=1)
        videos = torch.cat([self._bundle.world_model.decode(part) for part in latents.split(CHUNK)])
        return np.concatenate(list(videos.movedim(2, 0).numpy()), axis=3)

    @torch.no_grad()
    def imagine(self, task: Task, prompt: str, count: int, seed: int) -> Imagined:
        """The same before it is decoded: ``count`` futures of one chunk, each from another noise."""
        clip, model = self._footage.clips(np.array([self._row(task)])), self._bundle.world_model
        phrase = phrase_of(prompt, self._bundle.config.phrases)
        target = self._target(clip.history[:, -1:], clip.history_poses[:, -1], phrase)
        chunk = self._flight(clip.history_poses[0, -1], target)[None]
        noise = torch.randn(count, *clip.future.shape[1:], generator=torch.Generator().manual_seed(seed))
        history, poses, actions = (
            values.expand(count, *values.shape[1:]) for values in (clip.history, clip.history_poses, chunk)
        )
        parts = [
            model.imagine(history[rows], poses[rows], actions[rows], steps=self._steps, noise=noise[rows]).latents
            for rows in torch.arange(count).split(CHUNK)
        ]
        return Imagined(torch.cat(parts), history, poses, actions)

    def _row(self, task: Task) -> int:
        names = list(self._starts)
        cached = self._starts.get(task.episode or names[0])
        if cached is None:
            raise ModelsError(
                f"no episode {task.episode!r} in {self._footage.data.root}; there are {', '.join(names[:8])}"
            )
        rows = self._footage.rows()
        own = rows[(rows >= cached.start) & (rows < cached.start + cached.length)]
        wanted = cached.start + task.frame
        if not len(own):
            raise ModelsError(f"episode {cached.episode.name} is too short for a video")
        return int(own[np.abs(own - wanted).argmin()])

    def _target(self, frame: Tensor, pose: Tensor, phrase: str) -> Tensor:
        """Most relevant point ``(3,)`` above the table, base frame, metres."""
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
        score = (seen * (depth[0] > 0))[fixed].mean(dim=0)
        return points[score.argmax()]

    def _flight(self, pose: Tensor, target: Tensor) -> Tensor:
        """Commanded poses ``(H, 7)`` that take the tool point straight towards the target."""
        spec = self._bundle.config
        tool = pose_matrix(pose[None])[0] @ torch.tensor(PINCH_OFFSET[:, 3].copy()).float()
        way = target - tool[:3]
        length = way.norm()
        travelled = spec.max_linear_speed * spec.frame_period * torch.arange(1, spec.horizon + 1)
        moves = way / length.clamp(min=1e-6) * travelled.clamp(max=length.item())[:, None]
        chunk = pose.expand(spec.horizon, 7).clone()
        chunk[:, :3] = (chunk[:, :3] + moves).clamp(
            torch.tensor(spec.workspace_lower), torch.tensor(spec.workspace_upper)
        )
        return chunk


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
