"""A small action-conditioned EDM denoiser in Stable Video Diffusion's latent space.

Far from the paper's 1.5-billion-parameter network, it takes the same inputs and answers in the same space: stacked
latents ``(4, 72, 40)``, absolute poses scaled by percentiles (Ctrl-World), eq. 2's loss. All frames of a clip are
channels of one 2-D U-Net, folded by `pixel_unshuffle` (2) to 36x20.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.conditioning import rotation_matrix, six_dimensional
from models.edm import Edm
from models.layers import GROUPS, ResidualBlock, SpatialAttention, sinusoids, zeroed
from models.real.latents import CHANNELS, COLUMNS, ROWS

HISTORY_OFFSETS = (-6, -3, 0)
"""Ctrl-World looks at frames -12, -9, -6, -3 and the current one; a small model with little data at fewer."""
HORIZON = 5
PERCENTILE_1 = (0.26767, -0.44172, -0.04278, -3.13737, -1.21439, -2.11582, 0.0)
PERCENTILE_99 = (0.78105, 0.43667, 0.78440, 3.13747, 0.90391, 1.99158, 0.99119)
"""Of DROID's poses and gripper, as Ctrl-World has them; used where the data brings no ``stat.json``."""
FOLD = 2
TIME_WIDTH = 64
POSE_FEATURES = 7 + 3 + 6 + 1
METRES = 10.0
"""Scale of relative translations: one unit is 10 cm."""


@dataclass(frozen=True)
class LatentConfig:
    """Size of the denoiser.

    Attributes:
        widths: Channels at half and at a quarter of the latents' resolution.
        blocks: Residual blocks per stage.
        embedding: Width of the conditioning vector.
    """

    widths: tuple[int, int] = (64, 128)
    blocks: int = 2
    embedding: int = 128


class LatentModel(nn.Module):
    """Predicts the change of the latents from the current frame, at unit variance per predicted frame.

    Its buffers (the unit of the changes and the percentiles of the poses) are saved with its weights.
    """

    change_scale: Tensor
    lowest: Tensor
    highest: Tensor

    def __init__(self, config: LatentConfig | None = None) -> None:
        super().__init__()
        config = config or LatentConfig()
        wide, deep = config.widths
        frames, width = len(HISTORY_OFFSETS) + HORIZON, config.embedding
        self.edm = Edm()
        self.register_buffer("change_scale", torch.ones(HORIZON))
        self.register_buffer("lowest", torch.tensor(PERCENTILE_1))
        self.register_buffer("highest", torch.tensor(PERCENTILE_99))
        self.embed = nn.Sequential(
            nn.Linear(frames * POSE_FEATURES + TIME_WIDTH, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.input = nn.Conv2d(frames * CHANNELS * FOLD * FOLD, wide, 3, padding=1)
        self.position = nn.Parameter(torch.zeros(1, wide, ROWS // FOLD, COLUMNS // FOLD))
        self.down = nn.ModuleList([ResidualBlock(wide, wide, width) for _ in range(config.blocks)])
        self.shrink = nn.Conv2d(wide, deep, 3, stride=2, padding=1)
        self.middle = nn.ModuleList([ResidualBlock(deep, deep, width) for _ in range(config.blocks)])
        self.attention = nn.ModuleList([SpatialAttention(deep) for _ in range(config.blocks)])
        self.grow = nn.Conv2d(deep, wide, 1)
        inner = [2 * wide] + [wide] * (config.blocks - 1)
        self.up = nn.ModuleList([ResidualBlock(channels, wide, width) for channels in inner])
        self.output = nn.Sequential(
            nn.GroupNorm(GROUPS, wide),
            nn.SiLU(),
            zeroed(nn.Conv2d(wide, HORIZON * CHANNELS * FOLD * FOLD, 3, padding=1)),
        )

    def forward(self, noisy: Tensor, c_noise: Tensor, history: Tensor, poses: Tensor) -> Tensor:
        """Raw output F of eq. 2, ``(B, H, 4, 72, 40)``.

        Args:
            noisy: ``(B, H, 4, 72, 40)`` changes at unit variance.
            c_noise: ``(B,)``.
            history: ``(B, T, 4, 72, 40)``.
            poses: ``(B, T + H, 7)`` at the history frames and at the predicted ones.
        """
        current, earlier = history[:, -1:], history[:, :-1]
        stack = torch.cat([noisy, current - earlier, current], dim=1).flatten(1, 2)
        x = self.input(functional.pixel_unshuffle(stack, FOLD)) + self.position
        described = torch.cat([self.pose_features(poses).flatten(1), sinusoids(c_noise, TIME_WIDTH)], dim=1)
        embedding = functional.silu(self.embed(described))
        for block in self.down:
            x = block(x, embedding)
        skip = x
        x = self.shrink(x)
        for block, attention in zip(self.middle, self.attention, strict=True):
            x = attention(block(x, embedding))
        x = functional.interpolate(self.grow(x), size=skip.shape[2:], mode="nearest")
        x = torch.cat([x, skip], dim=1)
        for block in self.up:
            x = block(x, embedding)
        return functional.pixel_shuffle(self.output(x), FOLD).unflatten(1, (HORIZON, CHANNELS))

    def pose_features(self, poses: Tensor) -> Tensor:
        """``(B, T + H, 17)`` of ``(B, T + H, 7)``.

        Ctrl-World's seven scaled absolute values first. Beside them the motion from the current pose, which is small in
        those: translation, rotation as six numbers (no Euler angle is subtracted), gripper.
        """
        now = len(HISTORY_OFFSETS) - 1
        scaled = ((poses - self.lowest) / (self.highest - self.lowest) * 2 - 1).clamp(-1, 1)
        rotation = rotation_matrix(poses[..., 3:6])
        turned = six_dimensional(rotation[:, now : now + 1].transpose(-1, -2) @ rotation)
        still = six_dimensional(torch.eye(3, device=poses.device))
        moved = poses - poses[:, now : now + 1]
        return torch.cat([scaled, moved[..., :3] * METRES, turned - still, moved[..., 6:]], dim=-1)

    def to_changes(self, latents: Tensor, history: Tensor) -> Tensor:
        """What the diffusion model sees as clean data."""
        return (latents - history[:, -1:]) / self.change_scale.reshape(1, -1, 1, 1, 1)

    def predict(self, history: Tensor, history_poses: Tensor, actions: Tensor, noise: Tensor) -> Tensor:
        """The expected future latents ``(B, H, 4, 72, 40)``: one step from pure noise (B, H, 4, 72, 40)."""
        poses = torch.cat([history_poses, actions], dim=1)
        sigma = torch.full((len(noise),), self.edm.sigma_max)
        network = lambda x, c_noise: self(x, c_noise, history, poses)  # noqa: E731
        changes = self.edm.denoise(network, noise * self.edm.sigma_max, sigma)
        return changes * self.change_scale.reshape(1, -1, 1, 1, 1) + history[:, -1:]
