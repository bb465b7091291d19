"""Diffusers' spatio-temporal transformer where every frame attends to one token of its own: the same, with less work.

Attention to a single key gives that key's value whatever the query is: the softmax over one score is 1. So what
cross-attention adds to a frame is one vector, `_value`, and its queries, their norm and its keys are never needed.
Names and weights are diffusers' own, and so is everything else that is computed.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention import BasicTransformerBlock, TemporalBasicTransformerBlock
from diffusers.models.resnet import AlphaBlender
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn

_Spatial: Any = BasicTransformerBlock  # diffusers' classes have no types
_Temporal: Any = TemporalBasicTransformerBlock
_Both: Any = TransformerSpatioTemporalModel


class OneTokenSpatialBlock(_Spatial):
    """Self-attention within a frame, the frame's token, feed-forward."""

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        """``(N, S, C)`` of places ``(N, S, C)`` and tokens ``(N, 1, E)`` of N frames."""
        x = x + self.attn1(self.norm1(x)) + _value(self.attn2, token)
        return x + self.ff(self.norm3(x))


class OneTokenTemporalBlock(_Temporal):
    """Self-attention of a place over the frames, the clip's token, feed-forward."""

    def forward(self, x: Tensor, token: Tensor) -> Tensor:
        """``(B, F, S, C)`` of places ``(B, F, S, C)`` and tokens ``(B, 1, E)`` of B clips."""
        x = x + self.ff_in(self.norm_in(x))
        over_time = self.norm1(x).transpose(1, 2)
        attended = self.attn1(over_time.flatten(0, 1)).view(over_time.shape).transpose(1, 2)
        x = x + attended + _value(self.attn2, token)[:, None]
        return x + self.ff(self.norm3(x))


class OneTokenTransformer(_Both):
    """Both, one after the other, blended. The clip's token is that of its first frame, as published."""

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        image_only_indicator: Tensor,
        return_dict: bool = False,
    ) -> tuple[Tensor]:
        """As diffusers' blocks call it.

        Args:
            hidden_states: ``(B*F, C, h, w)``.
            encoder_hidden_states: ``(B*F, 1, E)`` tokens.
            image_only_indicator: ``(B, F)``; only its shape is looked at: a clip is never single images here.
            return_dict: Diffusers' blocks ask for none.
        """
        clips, frames = image_only_indicator.shape
        height, width = hidden_states.shape[2:]
        first = encoder_hidden_states.unflatten(0, (clips, frames))[:, 0]
        number = self.time_proj(torch.arange(frames, device=hidden_states.device)).to(hidden_states.dtype)
        position = self.time_pos_embed(number)[:, None]
        x = self.proj_in(self.norm(hidden_states).permute(0, 2, 3, 1).flatten(1, 2))
        for spatial, temporal in zip(self.transformer_blocks, self.temporal_transformer_blocks, strict=True):
            if torch.is_grad_enabled() and self.gradient_checkpointing:
                x = self._gradient_checkpointing_func(spatial, x, encoder_hidden_states)
            else:
                x = spatial(x, encoder_hidden_states)
            moving = temporal(x.unflatten(0, (clips, frames)) + position, first).flatten(0, 1)
            x = self.time_mixer(x_spatial=x, x_temporal=moving)
        return (self.proj_out(x).unflatten(1, (height, width)).permute(0, 3, 1, 2) + hidden_states,)


ONE_TOKEN: dict[type, Any] = {
    BasicTransformerBlock: OneTokenSpatialBlock,
    TemporalBasicTransformerBlock: OneTokenTemporalBlock,
    TransformerSpatioTemporalModel: OneTokenTransformer,
}


def use_one_token(unet: nn.Module) -> None:
    """Let the transformers that diffusers built into a U-Net compute as above.

    They change their class and keep their weights; building others would draw 1.5 billion random numbers again. The
    blend of space and time no longer asks which frames are single images, for none is.
    """
    for module in unet.modules():
        if type(module) in ONE_TOKEN:
            module.__class__ = ONE_TOKEN[type(module)]
        elif isinstance(module, AlphaBlender):
            module.merge_strategy = "learned"


def _value(attention: Any, token: Tensor) -> Tensor:
    """What attention to a single key gives, ``(N, 1, C)`` of tokens ``(N, 1, E)``."""
    return attention.to_out[0](attention.to_v(token))
