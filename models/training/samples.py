"""Sample videos: what really followed above what is imagined, view beside view, for a few held-out clips."""

from __future__ import annotations

import numpy as np
import torch

from models.training.clips import Clips
from models.training.loop import place
from models.video_model import VideoModel

CLIPS = 3
ZOOM = 3


@torch.no_grad()
def sample_videos(model: VideoModel, clips: Clips, steps: int) -> dict[str, np.ndarray]:
    """Videos ``(1 + H, h, w, 3)`` uint8 by name; they begin with the newest real frame.

    Args:
        model: Imagines on its own device.
        clips: Held-out clips.
        steps: Steps of the flow map; 0 is the expected future.
    """
    device = model.change_scale.device
    batch = place(clips.spread(CLIPS + 2), device)
    noise = model.initial_noise(batch.history.cpu(), torch.Generator().manual_seed(4)).to(device)
    imagined = model.imagine(batch.history, batch.history_poses, batch.actions, steps=steps, noise=noise).latents
    rows = [
        model.decode(torch.cat([batch.history[:, -1:], latents], dim=1)).cpu().numpy()
        for latents in (batch.future, imagined)
    ]
    pictures = np.concatenate([np.concatenate(list(np.moveaxis(row, 2, 0)), axis=3) for row in rows], axis=2)
    large = pictures.repeat(ZOOM, axis=2).repeat(ZOOM, axis=3)
    return {f"clip {index}": large[index] for index in range(1, 1 + CLIPS)}
