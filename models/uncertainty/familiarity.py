"""The alarm for unfamiliar scenes: how far what the cameras see is from what the models were trained on.

The uncertainty head judges imagined videos and is calibrated to be unsure where those are wrong, wherever that is; a
lamp that dims or an object that nobody has seen need not make a video wrong. This part looks at observed latents
instead, in two ways:

* *scene*: the distance of every latent from the training frames' mean at that place, in standard deviations. It rises
  for another light and for cameras that moved.
* *thing*: the odds that a patch belongs to none of the classes of the training recordings, from a small network that
  was shown training frames with strange things pasted in (`models.training.pasting`; outlier exposure, Hendrycks et al.
  2019). It rises for unknown objects.

Both are brought to one scale by held-out familiar states. The form of the score (what is pasted, how patches and views
are summed up) was chosen on one half of the evaluation's unfamiliar recordings, episodes with even numbers; nothing was
fitted to any of them.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from models.autoencoder import FOLD
from models.errors import BundleError
from models.head_unet import per_view
from models.semantic import SemanticConfig, SemanticHead

FILE = "familiarity.safetensors"
"""Its name in a bundle, which may lack it."""
KINDS = ("scene", "thing")
PATCHES = 3
"""Patches of a view that speak for it: a small unknown thing covers few."""
FLOOR = 0.14
"""Least standard deviation of a latent (those of the autoencoder have 1 over everything): a wall never changes."""
UPPER, RARE = 0.95, 0.975
"""Quantiles of familiar views and states at which a score is 1."""
PERCENTILES = 101


@dataclass(frozen=True)
class FamiliarityConfig:
    """Size of the familiarity score.

    Attributes:
        latent_channels: C, folded.
        latent_size: (h, w) of one view.
        views: V.
        classes: Classes of the training recordings.
        features: Channels the semantic reward's features have for one patch.
        width: Hidden channels.
    """

    latent_channels: int = 48
    latent_size: tuple[int, int] = (6, 10)
    views: int = 3
    classes: int = 10
    features: int = 96
    width: int = 40

    @classmethod
    def of(cls, semantic: SemanticConfig, latent_size: tuple[int, int], classes: int) -> FamiliarityConfig:
        """The size that fits a semantic reward."""
        features = semantic.features * (semantic.upscale // FOLD) ** 2
        return cls(semantic.latent_channels, latent_size, semantic.views, classes, features)


@dataclass(frozen=True)
class Strangeness:
    """How strange B states look.

    Attributes:
        scene: ``(B, V, h, w)`` distance of every latent cell from the training, in standard deviations.
        thing: ``(B, V, 2h, 2w)`` log-odds that a patch shows something unknown.
        views: ``(B, V)``; about 0 for a familiar view, 1 where 5 % of them show a thing as strange.
        scenery: ``(B,)`` of light and cameras alone, on the scale of ``state``.
        state: ``(B,)``, all views together: 0 for the median familiar state, 1 where 2.5 % of them are as strange.
        percentile: ``(B,)`` share of the held-out familiar states that are less strange.
    """

    scene: Tensor
    thing: Tensor
    views: Tensor
    scenery: Tensor
    state: Tensor
    percentile: Tensor


class Familiarity(nn.Module):
    """See the module's docstring."""

    mean: Tensor
    deviation: Tensor
    view_scale: Tensor
    state_scale: Tensor
    percentiles: Tensor

    def __init__(self, config: FamiliarityConfig) -> None:
        super().__init__()
        self.config, width = config, config.width
        height, across = (FOLD * size for size in config.latent_size)
        self.place = nn.Parameter(torch.zeros(config.views, width, height, across))
        inputs = config.latent_channels // FOLD**2 + config.features
        self.input = nn.Conv2d(inputs, width, 3, padding=1)
        self.hidden = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(3)])
        self.output = nn.Conv2d(width, config.classes + 1, 1)
        shape = (config.views, config.latent_channels, *config.latent_size)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))
        self.register_buffer("view_scale", torch.tensor([0.0, 1.0]).expand(len(KINDS), config.views, 2).clone())
        self.register_buffer("state_scale", torch.tensor([0.0, 1.0]).expand(len(KINDS), 2).clone())
        self.register_buffer("percentiles", torch.linspace(0, 1, PERCENTILES))

    def forward(self, latents: Tensor, semantic: SemanticHead) -> Strangeness:
        """Judge states.

        Args:
            latents: ``(B, C, V*h, w)`` of observed frames.
            semantic: The bundle's semantic reward, whose features know the objects.
        """
        logits = self.logits(latents, semantic).float()
        thing = logits[:, :, -1] - logits[:, :, :-1].logsumexp(dim=2)
        scene = ((self._views(latents) - self.mean) / self.deviation).square().mean(dim=2).sqrt()
        views = _scaled(self.summary(scene, thing), self.view_scale)
        kinds = _scaled(views.mean(dim=2), self.state_scale)
        both = _joined(kinds)
        middle, rare = _quantile(self.percentiles, 0.5), _quantile(self.percentiles, RARE)
        rank = torch.searchsorted(self.percentiles, both.contiguous()) / (PERCENTILES - 1)
        state = (both - middle) / (rare - middle).clamp(min=1e-6)
        return Strangeness(scene, thing, _joined(views), kinds[:, 0], state, rank.clamp(max=1))

    def logits(self, latents: Tensor, semantic: SemanticHead) -> Tensor:
        """Class logits ``(B, V, classes + 1, 2h, 2w)`` of every patch, the last for what is in none of the classes."""
        with torch.no_grad():
            known = semantic.features(latents[:, None])[:, 0]
        known = functional.pixel_unshuffle(known, known.shape[-1] // self.place.shape[-1])
        x = torch.cat([functional.pixel_shuffle(self._views(latents), FOLD), known.to(latents.dtype)], dim=2)
        x = self.input(x.flatten(0, 1)).unflatten(0, x.shape[:2]) + self.place
        x = x.flatten(0, 1)
        for layer in self.hidden:
            x = x + layer(functional.silu(x))
        return self.output(functional.silu(x)).unflatten(0, (len(latents), -1))

    def fit_scene(self, mean: Tensor, deviation: Tensor) -> None:
        """Take the mean and standard deviation ``(C, V*h, w)`` of the latents of training frames."""
        self.mean.copy_(self._views(mean[None])[0])
        self.deviation.copy_(self._views(deviation[None])[0].square().add(FLOOR**2).sqrt())

    def calibrate(self, scene: Tensor, thing: Tensor) -> None:
        """Set the scales by the `Strangeness.scene` and `Strangeness.thing` of held-out familiar states."""
        summary = self.summary(scene, thing)
        self.view_scale.copy_(_scale(summary, UPPER))
        states = _scaled(summary, self.view_scale).mean(dim=2)
        self.state_scale.copy_(_scale(states, RARE))
        both = _joined(_scaled(states, self.state_scale))
        self.percentiles.copy_(torch.quantile(both, torch.linspace(0, 1, PERCENTILES)))

    @staticmethod
    def summary(scene: Tensor, thing: Tensor) -> Tensor:
        """One number ``(B, kinds, V)`` per view: the mean distance, and the mean of the few highest odds."""
        highest = thing.flatten(2).topk(min(PATCHES, thing[0, 0].numel()), dim=2).values
        return torch.stack([scene.mean(dim=(2, 3)), highest.mean(dim=2)], dim=1)

    def _views(self, latents: Tensor) -> Tensor:
        return per_view(latents[:, None], self.config.views)[:, 0]


def save_familiarity(part: Familiarity, folder: Path) -> Path:
    """Write a bundle's file in half precision."""
    weights = {name: value.half().contiguous() for name, value in part.state_dict().items()}
    save_file(weights, folder / FILE, {"config": json.dumps(dataclasses.asdict(part.config))})
    return folder / FILE


def load_familiarity(folder: Path) -> Familiarity | None:
    """Read a bundle's file, ready for inference; None where there is none.

    Raises:
        BundleError: It is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as stored:
            values = json.loads(stored.metadata()["config"])
            part = Familiarity(FamiliarityConfig(**{**values, "latent_size": tuple(values["latent_size"])}))
            part.load_state_dict({name: stored.get_tensor(name).float() for name in stored.keys()})  # noqa: SIM118
    except Exception as error:
        raise BundleError(
            f"{file} cannot be read: {error}. Make it again with `vidplan train familiarity`, or remove it: planning "
            "does not need it"
        ) from error
    return part.eval().requires_grad_(False)


def _scale(values: Tensor, upper: float) -> Tensor:
    """Median and the distance from it to the upper quantile, over the first dimension, ``(..., 2)``."""
    middle, high = torch.quantile(values, torch.tensor([0.5, upper]), dim=0)
    return torch.stack([middle, (high - middle).clamp(min=1e-6)], dim=-1)


def _scaled(values: Tensor, scale: Tensor) -> Tensor:
    return (values - scale[..., 0]) / scale[..., 1]


def _joined(kinds: Tensor) -> Tensor:
    """Both kinds ``(B, kinds, ...)`` as one: a scene that is nearer than most does not make up for a strange thing."""
    scene, thing = kinds.unbind(dim=1)
    return thing + scene.clamp(min=0)


def _quantile(percentiles: Tensor, share: float) -> Tensor:
    """Read between two percentiles."""
    place = share * (PERCENTILES - 1)
    return torch.lerp(percentiles[int(place)], percentiles[math.ceil(place)], place % 1)
