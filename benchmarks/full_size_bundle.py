"""A Ctrl-World bundle with random weights that plans: of full size, or reduced to what one processor core can do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast

from models.cameras import Camera
from models.ctrl_world.bundle import CtrlWorldBundle, fresh_heads, head_config
from models.ctrl_world.bundle_config import CtrlWorldBundleConfig
from models.ctrl_world.config import CtrlWorldConfig, UNetConfig, VaeConfig
from models.ctrl_world.text import InstructionEncoder
from models.ctrl_world.video_model import CtrlWorldModel
from models.fast import channels_last
from models.relevance.dense import DenseRelevance
from models.relevance.latent import LatentRelevance
from models.testing import random_bundle_config
from models.value import RELEVANCE_FOLD

WORDS = ("a", "photo", "of", "the", "put", "in", "carrot", "bowl", "object", "thing", "background", "table", "robot")
CLIP = {"projection_dim": 512, "text": {}, "vision": {"patch_size": 16}}
"""ViT-B/16; what is not said is transformers' default."""
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL_CLIP = {"projection_dim": 16, "text": SMALL, "vision": {**SMALL, "patch_size": 16, "image_size": 64}}


def full_config(horizon: int) -> CtrlWorldConfig:
    return CtrlWorldConfig(horizon=horizon)


def reduced_config(horizon: int) -> CtrlWorldConfig:
    """The same classes and levels at 32 channels; one view of 64x64 pixels."""
    unet = UNetConfig(widths=(32, 32, 32, 32), heads=(1, 1, 1, 1), layers=1, token=32, time_ids=32)
    vae = VaeConfig(widths=(32, 32, 32, 32), layers=1)
    return CtrlWorldConfig(unet=unet, vae=vae, image_size=(64, 64), views=("left",), horizon=horizon)


def random_bundle(size: str, horizon: int, device: str) -> CtrlWorldBundle:
    """Models ready to plan: bfloat16 and channels last on a GPU, single precision on a processor, as when loaded.

    The text tower is as wide as half a token, which is what Ctrl-World's tiles to a whole one.
    """
    torch.manual_seed(0)
    full = size == "full"
    config, clip = (full_config(horizon), CLIP) if full else (reduced_config(horizon), SMALL_CLIP)
    cameras = cameras_of(config)
    with torch.device(device):
        text = CLIPTextConfig(**clip["text"], projection_dim=config.unet.token // 2, **ends())
        model = CtrlWorldModel(config, InstructionEncoder(tokenizer(), CLIPTextModelWithProjection(text)))
        shapes = ((30, 10.0), (20, 1.0))
        sizes = [replace(head_config(config, bins, highest), **head_width(full)) for bins, highest in shapes]
        uncertainty, value = fresh_heads(model, cameras, *sizes)
        relevance = relevance_of(clip)
    for module in (model, uncertainty, value, relevance):
        module.to(device).eval().requires_grad_(False)
    if device != "cpu":
        model.denoiser.set_precision(torch.bfloat16)
        model.autoencoder.to(torch.bfloat16)
        channels_last(model.denoiser)
        channels_last(model.autoencoder)
    rows, columns = config.latent_size
    semantic = LatentRelevance(
        relevance,
        lambda latents: model.autoencoder.decode_pixels(latents, model.views),
        (RELEVANCE_FOLD * rows, RELEVANCE_FOLD * columns),
    )
    spec = CtrlWorldBundleConfig(
        name=f"random-{size}",
        world_model=config,
        robots=("panda", "fr3"),
        workspace_lower=(0.2, -0.45, 0.05),
        workspace_upper=(0.75, 0.45, 0.7),
        cameras=cameras,
        uncertainty=sizes[0],
        value=sizes[1],
    )
    return CtrlWorldBundle(model, uncertainty, semantic, value, spec, "0" * 64)


def head_width(full: bool) -> dict[str, Any]:
    return {} if full else {"widths": (8, 16, 16), "embedding": 16}


def cameras_of(config: CtrlWorldConfig) -> tuple[Camera, ...]:
    """A DROID cell's cameras, their matrices scaled to these pictures."""
    spec = random_bundle_config()
    scale = torch.tensor([config.image_size[1] / spec.image_size[1], config.image_size[0] / spec.image_size[0], 1.0])
    return tuple(
        replace(camera, matrix=tuple(tuple(row) for row in (scale[:, None] * torch.tensor(camera.matrix)).tolist()))
        for camera in spec.cameras[: len(config.views)]
    )


def relevance_of(clip: dict[str, Any]) -> DenseRelevance:
    text = {**clip["text"], **ends()}
    config = CLIPConfig(text_config=text, vision_config=clip["vision"], projection_dim=clip["projection_dim"])
    model: nn.Module = CLIPModel(config)
    return DenseRelevance(model, tokenizer(), (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))


def ends() -> dict[str, int]:
    """Ids of the tokens around a text; the end has the highest, as in CLIP."""
    return {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "vocab_size": len(WORDS) + 3}


def tokenizer() -> PreTrainedTokenizerFast:
    """A word a token; what CLIP's own would cut a text into does not matter to random weights."""
    vocabulary = {"<s>": 0, "<unk>": 1, **{word: i + 2 for i, word in enumerate(WORDS)}, "</s>": len(WORDS) + 2}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    around = [(token, vocabulary[token]) for token in ("<s>", "</s>")]
    words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=around)
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=words, **names)
