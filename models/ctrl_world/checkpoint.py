"""Ctrl-World's checkpoint: one flat state dict, checked name by name and shape by shape before anything is written.

What should be in it follows from the networks themselves, built on the meta device, which needs no memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

from models.ctrl_world.autoencoder import vae_arguments
from models.ctrl_world.config import CtrlWorldConfig
from models.ctrl_world.denoiser import ActionEncoder
from models.ctrl_world.unet import FramewiseUNet, unet_arguments
from models.errors import BundleError
from models.published import UNREADABLE, ZIP, why

Shapes = dict[str, tuple[int, ...]]
PARTS = ("unet", "vae", "action_encoder", "text_encoder")
"""Prefixes of what a bundle keeps."""
UNUSED = "image_encoder"
"""Prefix of what came with Stable Video Diffusion and Ctrl-World never asks; a checkpoint may lack all of it."""
BUFFERS = ("embeddings.position_ids",)
"""Saved by older versions of transformers; constants, not weights."""
NAMED = 12
"""Names listed in a message; the rest is counted."""


def expected_shapes(config: CtrlWorldConfig, text: dict[str, Any], image: dict[str, Any] | None) -> Shapes:
    """Name -> shape of everything in the checkpoint.

    Args:
        config: Sizes of U-Net and autoencoder.
        text: Configuration of the CLIP text tower, transformers' ``config.json`` (whole, or its ``text_config``).
        image: Configuration of SVD's image encoder; None leaves it out.
    """
    with torch.device("meta"):
        modules: dict[str, Any] = {
            "unet": FramewiseUNet(**unet_arguments(config.unet)),
            "vae": AutoencoderKLTemporalDecoder(**vae_arguments(config.vae)),
            "action_encoder": ActionEncoder(config.unet.token),
            "text_encoder": CLIPTextModelWithProjection(CLIPTextConfig.from_dict(text)),
        }
        if image is not None:
            modules[UNUSED] = CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(image))
    return {
        f"{part}.{name}": tuple(value.shape)
        for part, module in modules.items()
        for name, value in module.state_dict().items()
    }


def read_checkpoint(file: Path) -> dict[str, Tensor]:
    """The flat state dict, memory-mapped where the file allows; weights only, nothing in it is executed.

    Raises:
        BundleError: It is missing, or not a flat dictionary of tensors.
    """
    try:
        weights = torch.load(file, map_location="cpu", weights_only=True, mmap=_mappable(file))
    except FileNotFoundError as error:
        raise BundleError(f"{file} is missing: --checkpoint is Ctrl-World's checkpoint-10000.pt") from error
    except UNREADABLE as error:
        raise BundleError(f"{file} is not a checkpoint of tensors that can be read: {why(file, error)}") from error
    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in weights.items()
    ):
        raise BundleError(f"{file} is not one flat dictionary of tensors, as Ctrl-World publishes it")
    return {name: value for name, value in weights.items() if not name.endswith(BUFFERS)}


def check_checkpoint(weights: Mapping[str, Tensor], expected: Shapes, source: str) -> None:
    """Compare names and shapes.

    Raises:
        BundleError: A name is missing, unexpected, of another shape, or its values are no finite floating point
            numbers; all of them are counted and the first ones named.
    """
    if not any(name.startswith(f"{UNUSED}.") for name in weights):
        expected = {name: shape for name, shape in expected.items() if not name.startswith(f"{UNUSED}.")}
    shared = sorted(set(expected) & set(weights))
    other = [
        f"{name} is {tuple(weights[name].shape)}, need {expected[name]}"
        for name in shared
        if tuple(weights[name].shape) != expected[name]
    ]
    kept = [name for name in shared if name.split(".")[0] in PARTS]
    exact = [f"{name} is {weights[name].dtype}" for name in kept if not weights[name].is_floating_point()]
    broken = [name for name in kept if not weights[name].isfinite().all()]
    faults = {
        "missing": sorted(set(expected) - set(weights)),
        "unexpected": sorted(set(weights) - set(expected)),
        "of another shape": other,
        "not floating point": exact,
        "not finite": broken,
    }
    if found := [_listed(kind, names) for kind, names in faults.items() if names]:
        raise BundleError(f"{source} is not this Ctrl-World:\n" + "\n".join(found))


def part_of(weights: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """The weights under one prefix, without it."""
    return {name[len(part) + 1 :]: value for name, value in weights.items() if name.startswith(f"{part}.")}


def _listed(kind: str, names: list[str]) -> str:
    rest = f"\n    ... and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"  {len(names)} {kind}:\n    " + "\n    ".join(names[:NAMED]) + rest


def _mappable(file: Path) -> bool:
    """Files of torch before 1.6 are no archives and cannot be memory-mapped."""
    try:
        with open(file, "rb") as stream:
            return stream.read(len(ZIP)) == ZIP
    except OSError:
        return False
