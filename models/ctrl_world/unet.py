"""Stable Video Diffusion's U-Net with one token per frame, the one change that Ctrl-World made to it.

The blocks, their names and weights are diffusers' own. Two things are not in its `forward`: cross-attention to a token
of the frame's own (Ctrl-World), and an embedding of the flow map's second time beside that of the noise level. What the
blocks need not compute for a single token is left out (`transformer.py`).
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNetSpatioTemporalConditionModel
from torch import Tensor

from models.ctrl_world.config import UNetConfig
from models.ctrl_world.transformer import use_one_token

_Published: Any = UNetSpatioTemporalConditionModel  # diffusers' lazy exports have no types


class FramewiseUNet(_Published):
    """See the module's docstring. Temporal cross-attention sees the first frame's token, as published."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        use_one_token(self)

    def forward(
        self, sample: Tensor, c_noise: Tensor, tokens: Tensor, time_ids: Tensor, second_time: Tensor | None = None
    ) -> Tensor:
        """Predict.

        Args:
            sample: ``(B, F, 8, h, w)`` scaled noisy latents beside the conditioning frame, h and w divisible by 8.
            c_noise: ``(B,)`` float32.
            tokens: ``(B, F, token)``.
            time_ids: ``(B, 3)`` fps, motion bucket, noise augmentation.
            second_time: ``(B, 4 * widths[0])`` embedding of the flow map's distance t - s, added to that of c_noise.

        Returns:
            ``(B, F, 4, h, w)``.
        """
        batch, frames = sample.shape[:2]
        embedding = self.time_embedding(self.time_proj(c_noise).to(sample.dtype))
        described = self.add_time_proj(time_ids.flatten()).reshape(batch, -1)
        embedding = embedding + self.add_embedding(described.to(sample.dtype))
        if second_time is not None:
            embedding = embedding + second_time.to(embedding.dtype)
        shared = {
            "temb": embedding.repeat_interleave(frames, dim=0, output_size=batch * frames),
            "image_only_indicator": torch.zeros(batch, frames, dtype=sample.dtype, device=sample.device),
        }
        context = {"encoder_hidden_states": tokens.flatten(0, 1)[:, None]}

        x = self.conv_in(sample.flatten(0, 1))
        skips = [x]
        for block in self.down_blocks:
            x, inner = block(x, **shared, **(context if _attends(block) else {}))
            skips += inner
        x = self.mid_block(x, **shared, **context)
        for block in self.up_blocks:
            count = len(block.resnets)
            skips, taken = skips[:-count], tuple(skips[-count:])
            x = block(x, res_hidden_states_tuple=taken, **shared, **(context if _attends(block) else {}))
        return self.conv_out(self.conv_act(self.conv_norm_out(x))).unflatten(0, (batch, frames))


def unet_arguments(config: UNetConfig) -> dict[str, Any]:
    """Arguments of diffusers' class."""
    return {
        "in_channels": 8,
        "out_channels": 4,
        "block_out_channels": config.widths,
        "addition_time_embed_dim": config.time_ids,
        "projection_class_embeddings_input_dim": 3 * config.time_ids,
        "layers_per_block": config.layers,
        "cross_attention_dim": config.token,
        "num_attention_heads": config.heads,
    }


def _attends(block: torch.nn.Module) -> bool:
    return bool(getattr(block, "has_cross_attention", False))
