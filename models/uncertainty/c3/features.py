"""What C3's probes look at: the features under the last layer of the denoiser, kept from the jump that ends a video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from models.bundle import Bundle
from models.interfaces import Imagined
from models.video_model import VideoModel


@dataclass(frozen=True)
class Featured(Imagined):
    """An imagined video with the features it came from.

    Attributes:
        features: ``(B, K, V*h, w)`` penultimate features of the last jump.
        poses: ``(B, T + H, 19)`` what the denoiser was told of the poses (`conditioning.Condition.features`).
        start: ``(B,)`` flow time at which the last jump began; the expected future has one evaluation, at 0.
    """

    features: Tensor
    poses: Tensor
    start: Tensor

    def detached(self) -> Featured:
        """The same without a way back for gradients."""
        return Featured(**{field.name: getattr(self, field.name).detach() for field in fields(self)})

    def rows(self, rows: Tensor) -> Featured:
        """Some clips of the batch."""
        return Featured(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


class FeaturedVideoModel(VideoModel):
    """The same video model; what it imagines carries the features that a probe needs. They cost nothing."""

    @classmethod
    def of(cls, bundle: Bundle) -> FeaturedVideoModel:
        """The world model of a bundle, sharing its weights."""
        model, config = bundle.world_model, bundle.config
        featured = cls(
            model.autoencoder, model.denoiser, config.edm, config.cameras, config.image_size, config.change_scale
        )
        featured.to(model.change_scale.device).train(model.training)
        featured.fast = model.fast
        return featured

    def imagine(self, history: Tensor, history_poses: Tensor, actions: Tensor, **options: Any) -> Featured:
        """See `VideoModel.imagine`."""
        steps = options.get("steps", 1)
        with _outputs(self.denoiser.get_submodule("last")) as kept, _outputs(self.conditioner) as told:
            imagined = super().imagine(history, history_poses, actions, **options)
        return Featured(
            **{field.name: getattr(imagined, field.name) for field in fields(imagined)},
            features=kept[-1].float(),
            poses=told[-1].features,
            start=torch.full((len(history),), 1 - 1 / max(1, steps), device=history.device),
        )


@contextmanager
def _outputs(module: nn.Module) -> Iterator[list[Any]]:
    """Everything a module answers within the body, in order."""
    kept: list[Any] = []
    hook = module.register_forward_hook(lambda _, inputs, output: kept.append(output))
    try:
        yield kept
    finally:
        hook.remove()
