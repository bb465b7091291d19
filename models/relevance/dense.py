"""Dense relevance of image regions to an object phrase, from the patch tokens of CLIP or SigLIP.

Both models are trained to compare a whole picture with a text. Their last attention layer only gathers: what a patch
would contribute to the picture's embedding is its *value* projection, so the region's features are the value path of
that layer alone, carried on through the model's own output layers (MaskCLIP, Zhou et al. 2022).

A cosine has no absolute meaning. A region is relevant when it is nearer to the phrase than to **each** of a few
contrast phrases that fit any region: the least of the pairwise probabilities, at the model's own temperature (as in
LERF, Kerr et al. 2023).
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoTokenizer, CLIPModel, SiglipModel

from models.errors import BundleError
from models.published import UNREADABLE, whole_model

REMEMBERED = 64
"""Phrases whose embedding is kept."""


@dataclass(frozen=True)
class RelevanceConfig:
    """How relevance is asked for.

    Attributes:
        scale: Pictures are enlarged by this before the model cuts them into patches; both sides are then rounded down
            to whole patches.
        template: Sentence around every phrase.
        contrasts: Phrases that fit any region.
    """

    scale: float = 2.0
    template: str = "a photo of a {}."
    contrasts: tuple[str, ...] = ("object", "thing", "background", "table", "robot arm")


class DenseRelevance(nn.Module):
    """See the module's docstring. Everything stays on the device of its weights."""

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        model: CLIPModel | SiglipModel,
        tokenizer: Any,
        mean: tuple[float, ...],
        deviation: tuple[float, ...],
        config: RelevanceConfig | None = None,
    ) -> None:
        """Wrap a model.

        Args:
            model: CLIP or SigLIP with both towers.
            tokenizer: Its tokenizer.
            mean: Subtracted from RGB in [0, 1].
            deviation: Divides it then.
            config: How relevance is asked for.
        """
        super().__init__()
        self.config = config or RelevanceConfig()
        self.model: Any = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    @staticmethod
    def from_folder(folder: Path, config: RelevanceConfig | None = None) -> DenseRelevance:
        """Load from a local folder in transformers' layout; nothing is downloaded.

        Raises:
            BundleError: The folder is missing, incomplete, or of another kind of model.
        """
        preprocessor = folder / "preprocessor_config.json"
        advice = "download openai/clip-vit-base-patch16 or google/siglip-base-patch16-224 whole (docs/full-size.md)"
        if not folder.is_dir():
            raise BundleError(f"{folder} is missing: {advice}")
        try:
            kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
            if kind not in ("clip", "siglip"):
                raise BundleError(f"{folder} holds a model of type {kind!r}, need clip or siglip")
            family = CLIPModel if kind == "clip" else SiglipModel
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = whole_model(family, folder)
            values = json.loads(preprocessor.read_text())
            mean, deviation = (tuple(map(float, values[key])) for key in ("image_mean", "image_std"))
        except (*UNREADABLE, TypeError) as error:
            raise BundleError(f"{folder} is not a whole CLIP or SigLIP: {error}; {advice}") from error
        return DenseRelevance(model, tokenizer, mean, deviation, config)

    @torch.no_grad()
    def forward(self, images: Tensor, phrase: str) -> Tensor:
        """Relevance ``(N, a, b)`` in [0, 1] of the regions of RGB images ``(N, 3, H, W)`` in [0, 1]."""
        return self.score(self.regions(images), phrase)

    @torch.no_grad()
    def regions(self, images: Tensor) -> Tensor:
        """Unit features ``(N, a, b, E)``, one per patch of the enlarged images."""
        patch = self.model.config.vision_config.patch_size
        size = [max(1, int(side * self.config.scale) // patch) * patch for side in images.shape[-2:]]
        pixels = functional.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False)
        pixels = ((pixels.clamp(0, 1) - self.mean) / self.deviation).to(self.model.dtype)
        features = (_clip_regions if isinstance(self.model, CLIPModel) else _siglip_regions)(self.model, pixels)
        shape = (size[0] // patch, size[1] // patch)
        return functional.normalize(features.float(), dim=-1).unflatten(1, shape)

    @torch.no_grad()
    def score(self, regions: Tensor, phrase: str) -> Tensor:
        """Relevance ``(...)`` in [0, 1] of unit features ``(..., E)``."""
        similarity = regions @ self._embedding(phrase).T * self.model.logit_scale.float().exp()
        return (similarity[..., :1] - similarity[..., 1:]).amin(dim=-1).sigmoid()

    def _embedding(self, phrase: str) -> Tensor:
        """Unit text features ``(1 + K, E)``: the phrase, then the contrasts."""
        known = self._known.get(phrase)
        if known is None or known.device != self.mean.device:
            phrases = [phrase, *(other for other in self.config.contrasts if other != phrase)]
            tokens = self.tokenizer(
                [self.config.template.format(text) for text in phrases],
                padding="max_length",
                max_length=self.model.config.text_config.max_position_embeddings,
                truncation=True,
                return_tensors="pt",
            ).to(self.mean.device)
            asked = {"attention_mask": tokens.attention_mask} if isinstance(self.model, CLIPModel) else {}
            features = self.model.get_text_features(input_ids=tokens.input_ids, **asked).pooler_output
            known = functional.normalize(features.float(), dim=-1)
            self._known[phrase] = known
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return known


def _clip_regions(model: Any, pixels: Tensor) -> Tensor:
    """``(N, patches, E)``: the value path of the last block, without the class token."""
    vision = model.vision_model
    states = vision(pixels, interpolate_pos_encoding=True, output_hidden_states=True).hidden_states
    last = vision.encoder.layers[-1]
    values = last.self_attn.out_proj(last.self_attn.v_proj(last.layer_norm1(states[-2])))
    return model.visual_projection(vision.post_layernorm(values))[:, 1:]


def _siglip_regions(model: Any, pixels: Tensor) -> Tensor:
    """``(N, patches, E)``: the value path of the pooling head, each patch in place of their weighted mean."""
    vision = model.vision_model
    states = vision(pixels, interpolate_pos_encoding=True).last_hidden_state
    attention = vision.head.attention
    width = states.shape[-1]
    weight, bias = attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
    values = attention.out_proj(functional.linear(states, weight, bias))
    return values + vision.head.mlp(vision.head.layernorm(values))
