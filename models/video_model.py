"""V_theta: autoencoder, conditioning, denoiser and flow map put together behind `interfaces.WorldModel`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.autoencoder import Autoencoder
from models.cameras import Camera
from models.conditioning import Condition, Conditioner
from models.edm import Edm
from models.errors import ShapeError
from models.flow_map import FlowMap
from models.interfaces import Imagined


class VideoModel(nn.Module):
    """Predicts the change of the latents from the current frame, scaled to unit variance per imagined frame.

    Attributes:
        fast: Imagine in bfloat16 (up to twice as fast where the processor has it), gradients included: what is refined
            is what was judged.
    """

    change_scale: Tensor

    def __init__(
        self,
        autoencoder: Autoencoder,
        denoiser: nn.Module,
        edm: Edm,
        cameras: Sequence[Camera],
        image_size: tuple[int, int],
        change_scale: Sequence[float],
    ) -> None:
        super().__init__()
        fold = 8
        self.views = len(cameras)
        self.fast = False
        self.autoencoder = autoencoder
        self.denoiser = denoiser
        self.conditioner = Conditioner(cameras, image_size, (image_size[0] // fold, image_size[1] // fold))
        self.flow_map = FlowMap(denoiser, edm)
        scale = torch.tensor(change_scale).float().reshape(1, -1, 1, 1, 1)
        self.register_buffer("change_scale", scale, persistent=False)

    @property
    def horizon(self) -> int:
        """Imagined frames H."""
        return self.change_scale.shape[1]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode uint8 RGB ``(B, T, V, H, W, 3)`` images to latents ``(B, T, C, V*h, w)`` on this model's device."""
        if images.ndim == 6 and images.shape[2] != self.views:
            raise ShapeError(f"this bundle has {self.views} views, got images of {images.shape[2]}")
        return self.autoencoder.encode_frames(images.to(self.change_scale.device))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents ``(B, H, C, V*h, w)`` to uint8 RGB ``(B, H, V, H, W, 3)``."""
        return self.autoencoder.decode_frames(latents, self.views)

    def networks(self) -> tuple[nn.Module, ...]:
        """See `fast.Compilable`."""
        return (self.denoiser,)

    def to_changes(self, latents: Tensor, history: Tensor) -> Tensor:
        """What the diffusion model sees as clean data: scaled change ``(B, H, C, V*h, w)`` from the newest frame."""
        return (latents - history[:, -1:]) / self.change_scale

    def to_latents(self, changes: Tensor, history: Tensor) -> Tensor:
        """Undo `to_changes`."""
        return changes * self.change_scale + history[:, -1:]

    def condition(self, history: Tensor, history_poses: Tensor, actions: Tensor) -> Condition:
        """See `Conditioner`."""
        return self.conditioner(history, history_poses, actions)

    def initial_noise(self, history: Tensor, generator: torch.Generator | None) -> Tensor:
        """Noise ``(B, H, C, V*h, w)`` for a history ``(B, T, C, V*h, w)``, see `interfaces.WorldModel`."""
        shape = (history.shape[0], self.horizon, *history.shape[2:])
        source = history.device if generator is None else generator.device
        return torch.randn(shape, generator=generator, device=source).to(history.device)

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
        teacher: bool = False,
        guidance: tuple[float, float] | None = None,
    ) -> Imagined:
        """See `interfaces.WorldModel.imagine`; ``teacher`` walks with the diffusion model's velocity instead.

        Only the teacher takes ``guidance`` (see `FlowMap.sample_diffusion`); this model is told no text.

        Raises:
            ShapeError: Actions or noise do not fit this model's horizon.
        """
        if actions.shape[1] != self.horizon:
            raise ShapeError(f"this model imagines {self.horizon} frames, got actions for {actions.shape[1]}")
        if noise is None:
            noise = self.initial_noise(history, generator)
        with torch.enable_grad():
            actions = actions.view_as(actions)  # a tensor of this video alone, which the heads find its condition by
        condition = self.condition(history, history_poses, actions)
        self.conditioner.keep(condition)
        device = history.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.fast or torch.is_autocast_enabled(device)):
            if teacher:
                changes = self.flow_map.sample_diffusion(noise, condition, steps, guidance)
            else:
                changes = self.flow_map.sample(noise, condition, steps)
        latents = self.to_latents(changes.float(), history)
        return Imagined(latents, history, history_poses, actions)
