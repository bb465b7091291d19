"""V_theta at full size: Ctrl-World read as a flow map, behind `interfaces.WorldModel`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.cameras import Camera
from models.conditioning import Conditioner
from models.ctrl_world.autoencoder import VideoAutoencoder
from models.ctrl_world.conditioning import FramewiseCondition, FramewiseConditioner
from models.ctrl_world.config import CtrlWorldConfig
from models.ctrl_world.denoiser import CtrlWorldDenoiser
from models.ctrl_world.frame_memory import FrameMemory
from models.ctrl_world.sampler import sample_euler
from models.ctrl_world.text import InstructionEncoder
from models.errors import ShapeError
from models.flow_map import FlowMap
from models.interfaces import Imagined


class CtrlWorldModel(nn.Module):
    """Denoises the current frame together with the H new ones, as it was trained; the new ones are returned.

    Attributes:
        fast: As in `VideoModel`: imagine in bfloat16 where no gradient is wanted, if the weights are single precision.
        text: The instruction's encoder; None: a model that is told no text.
    """

    current_noise: Tensor

    def __init__(self, config: CtrlWorldConfig, text: InstructionEncoder | None = None) -> None:
        super().__init__()
        self.config, self.fast = config, False
        self.views, self.horizon = len(config.views), config.horizon
        self.autoencoder = VideoAutoencoder(config.vae)
        self.denoiser = CtrlWorldDenoiser(config)
        self.conditioner = FramewiseConditioner(config)
        self.text = text
        self._frames = FrameMemory(self.autoencoder.encode_frames)
        self.flow_map = FlowMap(self.denoiser, config.edm)
        rows, columns = config.latent_size
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(1, 1, 4, rows * self.views, columns, generator=generator, device="cpu")
        self.register_buffer("current_noise", noise, persistent=False)

    def head_conditioner(self, cameras: tuple[Camera, ...]) -> Conditioner:
        """What the heads are told of the robot: with tool heat maps where the cameras are calibrated."""
        if not cameras:
            return self.conditioner.poses
        return Conditioner(cameras, self.config.image_size, self.config.latent_size)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode uint8 RGB ``(B, T, V, H, W, 3)`` images to latents ``(B, T, 4, V*h, w)`` on this model's device.

        Frames that come from the host, where they can be told apart without waiting for the GPU, are encoded once: most
        of a plan's history was the previous plan's too.
        """
        wanted = (self.views, *self.config.image_size, 3)
        if images.shape[2:] != wanted:
            raise ShapeError(f"this model sees (V, H, W, 3) = {wanted}, got {tuple(images.shape[2:])}")
        if images.device.type == "cpu":
            return self._frames(images, self.current_noise.device)
        return self.autoencoder.encode_frames(images)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents ``(B, H, 4, V*h, w)`` to uint8 RGB ``(B, H, V, H, W, 3)``."""
        return self.autoencoder.decode_frames(latents, self.views)

    def networks(self) -> tuple[nn.Module, ...]:
        """See `models.fast.Compilable`."""
        return (self.denoiser.unet, self.autoencoder.vae.decoder)

    def condition(
        self, history: Tensor, history_poses: Tensor, actions: Tensor, instruction: str = ""
    ) -> FramewiseCondition:
        """See `FramewiseConditioner`."""
        text = history.new_zeros(1, 0) if self.text is None else self.text(instruction).to(history)
        return self.conditioner(history, history_poses, actions, text)

    def initial_noise(self, history: Tensor, generator: torch.Generator | None) -> Tensor:
        """Noise ``(B, 1 + H, 4, V*h, w)`` for a history ``(B, T, 4, V*h, w)``, see `interfaces.WorldModel`."""
        shape = (history.shape[0], 1 + self.horizon, *history.shape[2:])
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
        """See `interfaces.WorldModel.imagine`.

        Args:
            history: ``(B, T, 4, V*h, w)`` at the history offsets.
            history_poses: ``(B, T, 7)``.
            actions: ``(B, H, 7)``.
            steps: Steps of the flow map, or of the teacher.
            generator: Source of the noise when ``noise`` is not given.
            noise: ``(B, 1 + H, 4, V*h, w)``, or ``(B, H, ...)`` of the new frames alone: the current frame then gets
                the same noise every time.
            instruction: Text, added to every frame's token.
            teacher: Ctrl-World's own sampler instead of the flow map (published: 50 steps).
            guidance: Of the teacher; published is ``config.guidance``.

        Raises:
            ShapeError: Actions or noise do not fit this model's horizon.
        """
        if actions.shape[1] != self.horizon:
            raise ShapeError(f"this model imagines {self.horizon} new frames, got actions for {actions.shape[1]}")
        noise = self.initial_noise(history, generator) if noise is None else noise
        if noise.shape[1] == self.horizon:
            noise = torch.cat([self.current_noise.expand(len(noise), -1, -1, -1, -1), noise], dim=1)
        if noise.shape[1] != 1 + self.horizon:
            raise ShapeError(f"need noise for {self.horizon} or {1 + self.horizon} frames, got {noise.shape[1]}")
        condition = self.condition(history, history_poses, actions, instruction)
        fast = self.fast and not torch.is_grad_enabled()
        device = history.device.type
        with torch.autocast(device, torch.bfloat16, enabled=fast or torch.is_autocast_enabled(device)):
            if teacher:
                video = sample_euler(self.denoiser, self.config.edm, noise, condition, steps, guidance)
            else:
                video = self.flow_map.sample(noise, condition, steps)
        return Imagined(video[:, 1:].float(), history, history_poses, actions)
