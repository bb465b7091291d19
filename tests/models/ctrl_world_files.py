"""Reduced Ctrl-World: the same classes at a width that runs in seconds, and its published files with true names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
)

from models.ctrl_world.config import CtrlWorldConfig, UNetConfig, VaeConfig

WORDS = [
    "a",
    "photo",
    "of",
    "the",
    "carrot",
    "pea",
    "bowl",
    "object",
    "thing",
    "background",
    "table",
    "robot",
    "arm",
    ".",
]
WORDS += ["put", "in", "red"]
TEXT = {
    "model_type": "clip_text_model",
    "vocab_size": len(WORDS) + 3,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 16,
    "max_position_embeddings": 12,
    "bos_token_id": 0,
    "eos_token_id": 2,  # as openai's files have it: the token of the highest id ends the text
    "pad_token_id": 1,
}
IMAGE = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 32,
    "patch_size": 8,
    "image_size": 32,
}


def reduced_config(**changes: Any) -> CtrlWorldConfig:
    """Four levels as at full size, 32 channels; views of 64x64 pixels, 8x8 latents."""
    unet = UNetConfig(widths=(32, 32, 64, 64), heads=(1, 1, 2, 2), layers=1, token=32, time_ids=32)
    vae = VaeConfig(widths=(32, 32, 32, 32), layers=1)
    return CtrlWorldConfig(**{"unet": unet, "vae": vae, "image_size": (64, 64), **changes})


def stock_unet(config: CtrlWorldConfig) -> UNetSpatioTemporalConditionModel:
    """Diffusers' own class, built as Stable Video Diffusion's `config.json` builds it."""
    return UNetSpatioTemporalConditionModel(**unet_json(config))


def unet_json(config: CtrlWorldConfig) -> dict[str, Any]:
    unet = config.unet
    return {
        "in_channels": 8,
        "out_channels": 4,
        "block_out_channels": list(unet.widths),
        "addition_time_embed_dim": unet.time_ids,
        "projection_class_embeddings_input_dim": 3 * unet.time_ids,
        "layers_per_block": unet.layers,
        "cross_attention_dim": unet.token,
        "num_attention_heads": list(unet.heads),
        "transformer_layers_per_block": 1,
        "num_frames": 14,
    }


def vae_json(config: CtrlWorldConfig) -> dict[str, Any]:
    return {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "block_out_channels": list(config.vae.widths),
        "layers_per_block": config.vae.layers,
        "scaling_factor": config.vae.scaling,
        "force_upcast": True,
    }


SCHEDULER = {
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "sigma_max": 700.0,
    "sigma_min": 0.002,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "timestep_type": "continuous",
    "use_karras_sigmas": True,
}
"""`scheduler_config.json` of Stable Video Diffusion."""


def alive(module: nn.Module, seed: int) -> nn.Module:
    """Random weights in which no layer is silent."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 16
        parameter.data = torch.randn(parameter.shape, generator=generator) * fan**-0.5
    return module.eval()


def published_weights(config: CtrlWorldConfig, seed: int = 0) -> dict[str, Tensor]:
    """The flat state dict of `checkpoint-10000.pt`, action encoder written out by hand."""
    width = config.unet.token
    action = nn.Sequential(nn.Linear(7, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
    parts: dict[str, nn.Module] = {
        "unet": stock_unet(config),
        "vae": AutoencoderKLTemporalDecoder(**vae_json(config)),
        "image_encoder": CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(IMAGE)),
        "text_encoder": CLIPTextModelWithProjection(CLIPTextConfig.from_dict(TEXT)),
        "action_encoder.action_encode": action,
    }
    return {
        f"{part}.{name}": value.clone()
        for i, (part, module) in enumerate(parts.items())
        for name, value in alive(module, seed + i).state_dict().items()
    }


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A word a token, <s> and </s> around; the end has the highest id, as in CLIP."""
    vocabulary = {"<s>": 0, "<unk>": 1, **{word: i + 2 for i, word in enumerate(WORDS)}, "</s>": len(WORDS) + 2}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, vocabulary[token]) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<unk>"
    )


def write_published(root: Path, config: CtrlWorldConfig) -> dict[str, Path]:
    """Folders and file as a user downloads them; keys are the options of `vidplan bundle import`."""
    svd, clip, file = root / "svd", root / "clip", root / "checkpoint-10000.pt"
    written = {"unet/config": unet_json(config), "vae/config": vae_json(config), "image_encoder/config": IMAGE}
    for name, values in {**written, "scheduler/scheduler_config": SCHEDULER}.items():
        (svd / name).parent.mkdir(parents=True, exist_ok=True)
        (svd / f"{name}.json").write_text(json.dumps(values))
    clip.mkdir()
    (clip / "config.json").write_text(json.dumps({"model_type": "clip", "text_config": TEXT, "vision_config": IMAGE}))
    tiny_tokenizer().save_pretrained(clip)
    torch.save(published_weights(config), file)
    return {"svd": svd, "clip": clip, "checkpoint": file}


TOWER = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
VISION = {**TOWER, "patch_size": 8, "image_size": 32}


def tiny_relevance(kind: str) -> Any:
    """CLIP or SigLIP with random weights."""
    text = {**TEXT, **TOWER, "projection_dim": 32, "projection_size": 32}
    if kind == "clip":
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16))
    else:
        model = SiglipModel(SiglipConfig(text_config=text, vision_config=VISION))
    alive(model, 0)
    model.logit_scale.data.fill_(2.0)
    return model


def write_relevance(kind: str, folder: Path) -> Path:
    """The same as a folder that a user downloads."""
    tiny_relevance(kind).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    values = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return folder
