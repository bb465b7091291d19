"""The uncertainty as a picture: colours blended in latent space, decoded, laid over the frames of each view.

As in C3: three solid pictures (blue, green, red) are encoded once; every latent cell gets the blend that its
uncertainty asks for (0 blue, 1/2 green, 1 red), and the decoder turns cells into pixels. The picture so has the
decoder's own resolution and receptive field: a cell colours exactly the pixels it is responsible for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.interfaces import WorldModel

COLOURS = ((0, 0, 255), (0, 255, 0), (255, 0, 0))
"""RGB of h = 0 (sure), 1/2 and 1 (unsure)."""
OPACITY = 0.7
FAINTEST = 0.15
"""Opacity of the colours where h = 1 and where h = 0, so that the frame stays visible where the model is sure."""


class Heatmap:
    """Paints uncertainty through a world model's own decoder. Make one per model: it encodes the colours."""

    def __init__(self, world_model: WorldModel, views: int, image_size: tuple[int, int]) -> None:
        """Encode the three colours.

        Args:
            world_model: Its encoder and decoder.
            views: V.
            image_size: (rows, columns) of one view.
        """
        self._decode = world_model.decode
        solid = torch.tensor(COLOURS, dtype=torch.uint8).reshape(3, 1, 1, 1, 1, 3)
        self._latents = world_model.encode(solid.expand(3, 1, views, *image_size, 3).contiguous())[:, 0]

    def colours(self, h: Tensor) -> Tensor:
        """Decode uncertainty ``(B, H, V, h, w)`` in [0, 1] to uint8 RGB ``(B, H, V, rows, columns, 3)``."""
        blend = h.float().clamp(0, 1).flatten(2, 3)[:, :, None].to(self._latents)
        blue, green, red = self._latents
        low, high = (2 * blend).clamp(max=1), (2 * blend - 1).clamp(min=0)
        return self._decode(torch.lerp(torch.lerp(blue, green, low), red, high))

    def over(self, frames: Tensor, h: Tensor) -> Tensor:
        """Lay the colours of ``h`` ``(B, H, V, h, w)`` over uint8 RGB ``(B, H, V, rows, columns, 3)``.

        The more unsure, the less of the frame is left.
        """
        size = frames.shape[3:5]
        fine = torch.nn.functional.interpolate(
            h.float().clamp(0, 1).flatten(0, 1), size=size, mode="bilinear", align_corners=False
        )
        opacity = (FAINTEST + (OPACITY - FAINTEST) * fine).unflatten(0, h.shape[:2])[..., None]
        blended = (1 - opacity) * frames.float() + opacity * self.colours(h).float()
        return blended.round().clamp(0, 255).to(torch.uint8)
