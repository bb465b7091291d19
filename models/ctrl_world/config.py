"""Constants of Ctrl-World as published, as the part of a bundle's ``bundle.json`` that says what its networks are."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.edm import Edm

PERCENTILE_1 = (
    0.2676655471324921,
    -0.441715806722641,
    -0.042784303426742554,
    -3.1373724937438965,
    -1.214390754699707,
    -2.11581574678421,
    0.0,
)
"""Of DROID's poses and gripper, 1 %."""
PERCENTILE_99 = (
    0.781050771474838,
    0.4366717040538788,
    0.7843997478485107,
    3.137465238571167,
    0.9039141565561147,
    1.9915846586227417,
    0.9911894202232361,
)
"""Of DROID's poses and gripper, 99 %."""
REACH = 8
"""Pixels per latent cell and axis of Stable Video Diffusion's autoencoder."""
TEXT_REPEATS = 2
"""The text embedding is tiled this often to the width of a frame's token."""


@dataclass(frozen=True)
class UNetConfig:
    """Size of the `UNetSpatioTemporalConditionModel`; the defaults are Stable Video Diffusion's.

    Attributes:
        widths: Channels per level, fine to coarse.
        heads: Attention heads per level.
        layers: Residual blocks per level on the way down.
        token: Width of a frame's token (cross-attention).
        time_ids: Width of the embedding of each added time id.
    """

    widths: tuple[int, int, int, int] = (320, 640, 1280, 1280)
    heads: tuple[int, int, int, int] = (5, 10, 20, 20)
    layers: int = 2
    token: int = 1024
    time_ids: int = 256


@dataclass(frozen=True)
class VaeConfig:
    """Size of the `AutoencoderKLTemporalDecoder`; the defaults are Stable Video Diffusion's.

    Attributes:
        widths: Channels per level, fine to coarse.
        layers: Residual blocks per level.
        scaling: Latents are multiplied by this to unit variance.
    """

    widths: tuple[int, int, int, int] = (128, 256, 512, 512)
    layers: int = 2
    scaling: float = 0.18215


@dataclass(frozen=True)
class CtrlWorldConfig:
    """What the world model is.

    Attributes:
        unet: Size of the U-Net.
        vae: Size of the autoencoder.
        edm: Diffusion constants; c_out is negative in Stable Video Diffusion.
        image_size: (rows, columns) of one view.
        views: View order of the stacked latents. Labs differ; never implicit.
        history_offsets: History frames as offsets from the current one in video frames, oldest first, the last 0.
        history_slots: Which of them fill the network's history slots. Published are the first frame that is
            remembered, twice, then -12, -9, -6 and -3.
        horizon: New frames H. The network predicts the current frame besides, so Ctrl-World's 5 are 4 new ones.
        frame_period: Seconds between video frames.
        pose_lower: What is -1 in a scaled pose (x, y, z, roll, pitch, yaw, gripper).
        pose_upper: What is +1.
        fps: Added time id.
        motion_bucket: Added time id.
        noise_augmentation: Added time id.
        guidance: Strength of classifier-free guidance of the 50-step sampler at the first and at the last of the
            1 + H predicted frames.
        action_dropout: Share of training clips that are told neither actions nor text.
        history_noise: In training every history frame is noised by n times this, n ~ N(0, 1), and rescaled.
        current_noise: In training the conditioning frame is noised by up to this, and rescaled.
    """

    unet: UNetConfig = field(default_factory=UNetConfig)
    vae: VaeConfig = field(default_factory=VaeConfig)
    edm: Edm = field(default_factory=lambda: Edm(output_sign=-1.0))
    image_size: tuple[int, int] = (192, 320)
    views: tuple[str, ...] = ("left", "right", "wrist")
    history_offsets: tuple[int, ...] = (-12, -9, -6, -3, 0)
    history_slots: tuple[int, ...] = (0, 0, 0, 1, 2, 3)
    horizon: int = 4
    frame_period: float = 0.2
    pose_lower: tuple[float, ...] = PERCENTILE_1
    pose_upper: tuple[float, ...] = PERCENTILE_99
    fps: int = 7
    motion_bucket: int = 127
    noise_augmentation: float = 0.0
    guidance: tuple[float, float] = (1.0, 2.0)
    action_dropout: float = 0.05
    history_noise: float = 0.3
    current_noise: float = 0.2

    @property
    def latent_size(self) -> tuple[int, int]:
        """Latent rows and columns of one view."""
        return self.image_size[0] // REACH, self.image_size[1] // REACH

    @property
    def frames(self) -> int:
        """Frames the network sees: history slots, current, new."""
        return len(self.history_slots) + 1 + self.horizon
