"""A bundle of the full-size models: one folder, every file named with its hash in ``bundle.json``.

    bundle.json                what it is made for (`CtrlWorldBundleConfig`)
    denoiser.safetensors       U-Net, action encoder, second time of the flow map
    autoencoder.safetensors    Stable Video Diffusion's autoencoder
    text/                      CLIP's text tower and tokenizer, transformers' layout
    relevance/                 CLIP or SigLIP, transformers' layout
    uncertainty.safetensors, value.safetensors    the heads, once they are trained

Weights keep the precision they were imported in. The hash of a bundle is that of its ``bundle.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from models.bundle_parts import BundleParts
from models.cameras import Camera
from models.ctrl_world.bundle_config import CtrlWorldBundleConfig, bundle_hash, read_config, write_config
from models.ctrl_world.config import CtrlWorldConfig
from models.ctrl_world.text import InstructionEncoder
from models.ctrl_world.video_model import CtrlWorldModel
from models.errors import BundleError
from models.fast import channels_last
from models.head_unet import HeadConfig
from models.relevance.dense import DenseRelevance
from models.relevance.latent import LatentRelevance
from models.uncertainty import UncertaintyHead
from models.value import RELEVANCE_FOLD, ValueHead

HEAD_WIDTHS = (128, 256, 512)
"""Of the heads; 512 channels in the bottleneck (paper A.6)."""
HEAD_EMBEDDING = 512
ERROR_BINS, HIGHEST_ERROR = 30, 10.0
RETURN_BINS = 20


@dataclass(frozen=True)
class CtrlWorldBundle(BundleParts):
    """Loaded models, with the names of `models.bundle.Bundle`."""

    world_model: CtrlWorldModel
    uncertainty: UncertaintyHead
    semantic: LatentRelevance
    value: ValueHead
    config: CtrlWorldBundleConfig
    hash: str


def head_config(config: CtrlWorldConfig, bins: int, highest: float) -> HeadConfig:
    """Size of a head of this world model."""
    return HeadConfig(
        latent_channels=4,
        latent_size=config.latent_size,
        views=len(config.views),
        horizon=config.horizon,
        bins=bins,
        highest=highest,
        widths=HEAD_WIDTHS,
        embedding=HEAD_EMBEDDING,
    )


def fresh_heads(
    model: CtrlWorldModel,
    cameras: tuple[Camera, ...] = (),
    uncertainty: HeadConfig | None = None,
    value: HeadConfig | None = None,
) -> tuple[UncertaintyHead, ValueHead]:
    """Untrained heads; by default at the paper's size, 30 bins over [0, 10] and 20 over [0, 1] (A.6)."""
    conditioner = model.head_conditioner(cameras)
    return (
        UncertaintyHead(uncertainty or head_config(model.config, ERROR_BINS, HIGHEST_ERROR), conditioner),
        ValueHead(value or head_config(model.config, RETURN_BINS, 1.0), conditioner),
    )


def load_world_model(path: Path, device: str = "cpu") -> CtrlWorldModel:
    """The world model of a bundle, ready for inference: bfloat16 on a GPU, single precision on a processor.

    Raises:
        BundleError: A file is missing or damaged, or weights do not fit the configuration.
    """
    config = read_config(path)
    text = InstructionEncoder.from_folder(path / "text")
    try:
        with init_empty_weights(include_buffers=False):
            model = CtrlWorldModel(config.world_model)
    except (ValueError, RuntimeError) as error:  # diffusers and torch check what they are built from
        raise BundleError(f"no network can be built as {path / 'bundle.json'} describes it: {error}") from error
    model.text = text
    _fill(model.denoiser, path / "denoiser.safetensors", device)
    _fill(model.autoencoder, path / "autoencoder.safetensors", device)
    precision = torch.float32 if device.startswith("cpu") else torch.bfloat16
    model.to(device).eval().requires_grad_(False)
    model.denoiser.float().set_precision(precision)
    model.autoencoder.to(precision)
    if not device.startswith("cpu"):
        channels_last(model.denoiser)
        channels_last(model.autoencoder)
    return model


def load_ctrl_world(path: Path, device: str = "cpu") -> CtrlWorldBundle:
    """Load a whole bundle, ready to plan with.

    Raises:
        BundleError: A file is missing or damaged, weights do not fit, or heads or relevance are not there yet.
    """
    config = read_config(path)
    absent = [name for name in ("uncertainty", "value") if getattr(config, name) is None]
    if not (path / "relevance").is_dir():
        absent.append("relevance")
    if absent:
        raise BundleError(
            f"{path} holds a world model but cannot plan yet, it lacks: {', '.join(absent)} (docs/full-size.md says "
            "how to train the heads and add CLIP or SigLIP)"
        )
    model = load_world_model(path, device)
    uncertainty, value = fresh_heads(model, config.cameras, config.uncertainty, config.value)
    _fill(uncertainty, path / "uncertainty.safetensors", device)
    _fill(value, path / "value.safetensors", device)
    for head in (uncertainty, value):
        head.to(device).float().eval().requires_grad_(False)
    semantic = load_relevance(path, model).to(device)
    return CtrlWorldBundle(model, uncertainty, semantic, value, config, bundle_hash(path))


def load_relevance(path: Path, model: CtrlWorldModel) -> LatentRelevance:
    """CLIP or SigLIP of a bundle, judging what its world model imagines.

    Raises:
        BundleError: It is missing or damaged.
    """
    rows, columns = model.config.latent_size
    return LatentRelevance(
        DenseRelevance.from_folder(path / "relevance"),
        lambda latents: model.autoencoder.decode_pixels(latents, model.views),
        (RELEVANCE_FOLD * rows, RELEVANCE_FOLD * columns),
    )


def save_heads(path: Path, uncertainty: UncertaintyHead, value: ValueHead) -> None:
    """Put trained heads into a bundle."""
    config = read_config(path)
    save_weights(uncertainty.state_dict(), path / "uncertainty.safetensors")
    save_weights(value.state_dict(), path / "value.safetensors")
    write_config(path, replace(config, uncertainty=uncertainty.config, value=value.config))


def save_weights(weights: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write weights as they are."""
    save_file({name: value.contiguous() for name, value in weights.items()}, file, metadata={"format": "pt"})


def _fill(module: nn.Module, file: Path, device: str) -> None:
    try:
        module.load_state_dict(load_file(file, device=device), assign=True)
    except FileNotFoundError as error:
        raise BundleError(f"{file} is missing") from error
    except SafetensorError as error:
        raise BundleError(f"{file} is not a safetensors file that can be read: {error}") from error
    except RuntimeError as error:
        raise BundleError(f"{file} does not fit {file.parent / 'bundle.json'}: {error}") from error
