"""Pictures of what was imagined, for people: frames, and frames with the uncertainty on top."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.interfaces import WorldModel
from plan_protocol.messages import Imagination

COLOURS = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""RGB of h = 0 (sure), 1/2 and 1 (unsure)."""

OPACITY = 0.7
FAINTEST = 0.15
"""Opacity of the heatmap where h = 1 and where h = 0, so that the frame stays visible where the model is sure."""


def render(world_model: WorldModel, latents: Tensor, h: Tensor) -> Imagination:
    """Decode one imagined video and lay its uncertainty over it.

    Args:
        world_model: Decodes.
        latents: ``(1, H, C, V*h, w)``.
        h: ``(1, H, V, h, w)`` normalised uncertainty.
    """
    frames = world_model.decode(latents)[0]
    fine = functional.interpolate(h[0], size=frames.shape[2:4], mode="bilinear", align_corners=False)
    return Imagination(
        frames=frames.cpu().numpy(),
        composites=composite(frames, fine).cpu().numpy(),
        uncertainty=h[0].float().cpu().numpy().astype(np.float32),
    )


def composite(frames: Tensor, h: Tensor) -> Tensor:
    """Blend the colour map of ``h`` ``(..., H, W)`` over uint8 RGB ``(..., H, W, 3)``, more strongly where unsure."""
    h = h.clamp(0, 1)[..., None]
    opacity = FAINTEST + (OPACITY - FAINTEST) * h
    blended = (1 - opacity) * frames.float() + opacity * 255 * colour_map(h[..., 0])
    return blended.round().clamp(0, 255).to(torch.uint8)


def colour_map(h: Tensor) -> Tensor:
    """RGB ``(..., 3)`` in [0, 1] of ``h`` in [0, 1]: blue over green to red, linear between."""
    colours = COLOURS.to(h)
    low, high = (h * 2).clamp(max=1.0)[..., None], (h * 2 - 1).clamp(min=0.0)[..., None]
    return torch.lerp(torch.lerp(colours[0], colours[1], low), colours[2].expand(*h.shape, 3), high)
