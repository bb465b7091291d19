"""F of eq. 2 at full size: Ctrl-World's U-Net and action encoder behind `models.denoiser.Denoiser`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from models.ctrl_world.conditioning import FramewiseCondition
from models.ctrl_world.config import TEXT_REPEATS, CtrlWorldConfig
from models.ctrl_world.unet import FramewiseUNet, unet_arguments
from models.denoiser import SecondTime


class ActionEncoder(nn.Module):
    """One token per frame from its scaled pose, with the text embedding added; names as in the checkpoint."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.action_encode = nn.Sequential(
            nn.Linear(7, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, poses: Tensor, text: Tensor, told: Tensor) -> Tensor:
        """Tokens ``(B, F, width)`` of poses ``(B, F, 7)``, text ``(B, width / 2 or 0)``, told ``(B,)``."""
        tokens = self.action_encode(poses)
        if text.shape[1]:
            tokens = tokens + text.tile(1, TEXT_REPEATS)[:, None]
        return tokens * told[:, None, None]


class CtrlWorldDenoiser(nn.Module):
    """Denoises the current frame and the H new ones of a clip.

    Poses and times stay in single precision whatever the precision of the U-Net: bfloat16 would round poses to 2 mm.
    """

    time_ids: Tensor

    def __init__(self, config: CtrlWorldConfig) -> None:
        super().__init__()
        self.scaling = config.vae.scaling
        self.unet: Any = FramewiseUNet(**unet_arguments(config.unet))
        self.action_encoder = ActionEncoder(config.unet.token)
        self.second_time = SecondTime(4 * config.unet.widths[0])
        ids = [config.fps, config.motion_bucket, config.noise_augmentation]
        self.register_buffer("time_ids", torch.tensor([ids], dtype=torch.float32), persistent=False)

    def forward(
        self, noisy: Tensor, c_noise: Tensor, condition: FramewiseCondition, distance: Tensor | None = None
    ) -> Tensor:
        """See `Denoiser`; ``noisy`` is ``(B, 1 + H, 4, V*h, w)``, the current frame first."""
        slots = condition.slots.shape[1]
        with _single_precision(noisy.device.type):
            tokens = self.action_encoder(condition.poses, condition.text, condition.told)
            later = None if distance is None else self.second_time(distance)
        clip = torch.cat([condition.slots, noisy], dim=1)
        sample = torch.cat([clip, (condition.current / self.scaling).expand_as(clip)], dim=2)
        precision = self.unet.dtype
        ids = self.time_ids.expand(len(noisy), -1)
        return self.unet(sample.to(precision), c_noise, tokens.to(precision), ids, later)[:, slots:]

    def set_precision(self, precision: torch.dtype) -> None:
        """Keep the U-Net's weights in another precision, e.g. bfloat16 for inference."""
        nn.Module.to(self.unet, precision)  # diffusers' own `to` warns of modules it would rather keep, and has none

    def checkpoint_activations(self) -> None:
        """Recompute activations in the backward pass: less memory, about a third more work."""
        self.unet.enable_gradient_checkpointing()


def _single_precision(device: str) -> AbstractContextManager[Any]:
    """No autocast within; the meta device has none anyway."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
