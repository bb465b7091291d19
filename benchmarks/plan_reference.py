"""The same world model the straightforward way: diffusers' own classes, called as documented, nothing shared or kept.

It has copies of the weights, in the layout they come in, so that nothing done to ours makes it faster, too.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel
from torch import Tensor, nn

from models.ctrl_world.bundle import CtrlWorldBundle
from models.ctrl_world.conditioning import FramewiseCondition
from models.ctrl_world.unet import unet_arguments
from models.ctrl_world.video_model import CtrlWorldModel
from models.flow_map import FlowMap
from models.interfaces import Imagined


class StockDenoiser(nn.Module):
    """Diffusers' U-Net; every transformer in it is handed the frames' own tokens, as Ctrl-World does.

    Without a second time: its embedding is zero in fresh weights.
    """

    def __init__(self, model: CtrlWorldModel) -> None:
        super().__init__()
        self.ours = model.denoiser
        with torch.device("meta"):
            self.unet: Any = UNetSpatioTemporalConditionModel(**unet_arguments(model.config.unet))
        weights = {name: value.clone(memory_format=torch.contiguous_format) for name, value in self._weights().items()}
        self.unet.load_state_dict(weights, assign=True)
        self.unet.eval().requires_grad_(False)
        self._tokens = torch.zeros(0)
        for block in self.unet.modules():
            if isinstance(block, TransformerSpatioTemporalModel):
                block.forward = partial(self._own_token, block.forward)

    def forward(self, noisy: Tensor, c_noise: Tensor, condition: FramewiseCondition, distance: Any) -> Tensor:
        slots, precision = condition.slots.shape[1], self.unet.dtype
        tokens = self.ours.action_encoder(condition.poses, condition.text, condition.told).to(precision)
        self._tokens = tokens.flatten(0, 1)[:, None]
        clip = torch.cat([condition.slots, noisy], dim=1)
        still = (condition.current / self.ours.scaling).expand_as(clip)
        ids = self.ours.time_ids.expand(len(noisy), -1)
        sample = torch.cat([clip, still], dim=2).to(precision)
        return self.unet(sample, c_noise, encoder_hidden_states=tokens[:, :1], added_time_ids=ids).sample[:, slots:]

    def _weights(self) -> dict[str, Tensor]:
        return self.ours.unet.state_dict()

    def _own_token(self, forward: Callable, x: Tensor, encoder_hidden_states: Tensor, **named: Any) -> Any:
        return forward(x, encoder_hidden_states=self._tokens, **named)


class ReferenceWorldModel(nn.Module):
    """`interfaces.WorldModel` over `StockDenoiser`: all rows of a batch together, or one after the other."""

    def __init__(self, model: CtrlWorldModel, batched: bool) -> None:
        super().__init__()
        self.model, self.batched = model, batched
        self.autoencoder = deepcopy(model.autoencoder)
        for parameter in self.autoencoder.parameters():
            parameter.data = parameter.data.contiguous()
        self.flow_map = FlowMap(StockDenoiser(model), model.config.edm)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return self.autoencoder.encode_frames(images)

    def initial_noise(self, history: Tensor, generator: torch.Generator | None) -> Tensor:
        return self.model.initial_noise(history, generator)

    def imagine(
        self,
        history: Tensor,
        history_poses: Tensor,
        actions: Tensor,
        *,
        steps: int = 1,
        noise: Tensor,
        instruction: str = "",
    ) -> Imagined:
        condition = self.model.condition(history, history_poses, actions, instruction)
        rows = [slice(0, len(actions))] if self.batched else [slice(i, i + 1) for i in range(len(actions))]
        videos = [self.flow_map.sample(noise[part], condition.rows(part), steps) for part in rows]
        return Imagined(torch.cat(videos)[:, 1:].float(), history, history_poses, actions)

    def decode(self, latents: Tensor) -> Tensor:
        return self.autoencoder.decode_frames(latents, self.model.views)


class ReferenceRelevance:
    """`interfaces.SemanticReward`: pictures are decoded and read anew for every phrase."""

    def __init__(self, bundle: CtrlWorldBundle, world_model: ReferenceWorldModel) -> None:
        self.ours, self.world_model = bundle.semantic, world_model

    @torch.no_grad()
    def relevance(self, latents: Tensor, phrase: str) -> Tensor:
        model = self.world_model
        clips = [latents] if model.batched else latents.split(1)
        answers = []
        for clip in clips:
            pixels = model.autoencoder.decode_pixels(clip, model.model.views)
            score = self.ours.dense(pixels.flatten(0, 2), phrase)
            answers.append(nn.functional.interpolate(score[:, None], self.ours.size, mode="bilinear")[:, 0])
        return torch.cat(answers).unflatten(0, (*latents.shape[:2], model.model.views))


def reference(bundle: CtrlWorldBundle, batched: bool) -> CtrlWorldBundle:
    """A bundle that plans the straightforward way, with the same weights and heads."""
    parts = {field.name: getattr(bundle, field.name) for field in fields(bundle)}
    world_model = ReferenceWorldModel(bundle.world_model, batched)
    world_model.flow_map.last_step_only = bundle.world_model.flow_map.last_step_only
    changed: Any = {"world_model": world_model, "semantic": ReferenceRelevance(bundle, world_model)}
    return replace(bundle, **{**parts, **changed})
