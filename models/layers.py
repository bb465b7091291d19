"""Building blocks shared by the denoiser and the heads."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 8


def sinusoids(values: Tensor, width: int, highest: float = 100.0) -> Tensor:
    """Sines and cosines of ``values`` (B,) at ``width / 2`` frequencies from 1 to ``highest`` rad per unit."""
    exponents = torch.linspace(0.0, 1.0, width // 2, device=values.device)
    angles = values[:, None].float() * torch.exp(exponents * math.log(highest))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def zeroed(layer: nn.Conv2d | nn.Linear) -> nn.Conv2d | nn.Linear:
    """The same layer, answering zero until it is trained."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class _CastOnce(nn.Module):
    """A layer whose frozen weights are cast for autocast once, not at every call.

    A network that sees a single clip spends on casting what some of its convolutions take.
    """

    weight: Tensor
    bias: Any  # a tensor or None; torch's own layers do not agree on how to say so
    _cast: tuple[object, Tensor, Tensor | None] | None = None

    def _weights(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias, in autocast's precision where that is known to be wanted."""
        weight, bias, device = self.weight, self.bias, self.weight.device.type
        if weight.requires_grad or not torch.is_autocast_enabled(device):
            return weight, bias
        if torch.compiler.is_compiling() or torch.is_inference_mode_enabled():  # nothing that gradients could use later
            return weight, bias
        dtype = torch.get_autocast_dtype(device)
        cast_from = (dtype, [(part.data_ptr(), part._version) for part in (weight, bias) if part is not None])
        if self._cast is None or self._cast[0] != cast_from:
            self._cast = cast_from, weight.to(dtype), None if bias is None else bias.to(dtype)
        return self._cast[1:]


class Conv2d(_CastOnce, nn.Conv2d):
    """`torch.nn.Conv2d`, with frozen weights cast once."""

    def forward(self, x: Tensor) -> Tensor:
        """See `torch.nn.Conv2d`."""
        return self._conv_forward(x, *self._weights())


class Linear(_CastOnce, nn.Linear):
    """`torch.nn.Linear`, with frozen weights cast once."""

    def forward(self, x: Tensor) -> Tensor:
        """See `torch.nn.Linear`."""
        return functional.linear(x, *self._weights())


class ResidualBlock(nn.Module):
    """Two convolutions around a residual path, scaled and shifted by an embedding (FiLM) where one is given."""

    def __init__(self, inputs: int, outputs: int, embedding: int = 0) -> None:
        super().__init__()
        self.first_norm = nn.GroupNorm(GROUPS, inputs)
        self.first = Conv2d(inputs, outputs, 3, padding=1)
        self.second_norm = nn.GroupNorm(GROUPS, outputs)
        self.second = zeroed(Conv2d(outputs, outputs, 3, padding=1))
        self.film = Linear(embedding, 2 * outputs) if embedding else None
        self.skip = Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """Map ``(B, inputs, h, w)`` and ``(B, embedding)`` to ``(B, outputs, h, w)``."""
        hidden = self.second_norm(self.first(functional.silu(self.first_norm(x))))
        if self.film is not None:
            scale, shift = self.film(embedding)[:, :, None, None].chunk(2, dim=1)
            hidden = hidden * (1 + scale) + shift
        return self.skip(x) + self.second(functional.silu(hidden))


class SpatialAttention(nn.Module):
    """Self-attention over the positions of a map; the residual path starts at identity."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.project_in = Conv2d(channels, 3 * channels, 1)
        self.project_out = zeroed(Conv2d(channels, channels, 1))
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, h, w)`` to the same shape."""
        batch, channels, height, width = x.shape
        tokens = self.project_in(self.norm(x)).reshape(batch, 3, self.heads, channels // self.heads, height * width)
        query, key, value = tokens.transpose(3, 4).unbind(1)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return x + self.project_out(mixed.transpose(2, 3).reshape(batch, channels, height, width))


class SpaceTimeAttention(nn.Module):
    """Self-attention over all tokens of all frames of a clip (the heads' bottleneck, paper A.6)."""

    def __init__(self, channels: int, tokens: int, heads: int = 4) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(1, tokens, channels))
        self.norm = nn.LayerNorm(channels)
        self.project_in = nn.Linear(channels, 3 * channels)
        self.project_out = zeroed(nn.Linear(channels, channels))
        self.heads = heads

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Mix ``(B * frames, channels, h, w)`` over frames and positions."""
        rows, channels, height, width = x.shape
        tokens = x.reshape(rows // frames, frames, channels, height * width).transpose(2, 3).flatten(1, 2)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.project_in(self.norm(tokens) + self.position).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        mixed = self.project_out(mixed).unflatten(1, (frames, height * width))
        return x + mixed.transpose(2, 3).reshape(rows, channels, height, width)
