"""`vidplan bundle import ctrl-world`: published files to a bundle, every name and shape checked first."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoTokenizer, CLIPTextConfig

from models.ctrl_world import checkpoint
from models.ctrl_world.bundle import save_weights
from models.ctrl_world.bundle_config import CtrlWorldBundleConfig, bundle_hash, file_hash, write_config
from models.ctrl_world.config import TEXT_REPEATS, CtrlWorldConfig, UNetConfig, VaeConfig
from models.denoiser import SecondTime
from models.errors import BundleError
from models.relevance.dense import DenseRelevance

FIXED: dict[str, dict[str, Any]] = {
    "unet/config.json": {"in_channels": 8, "out_channels": 4, "transformer_layers_per_block": 1},
    "vae/config.json": {"in_channels": 3, "out_channels": 3, "latent_channels": 4},
    "scheduler/scheduler_config.json": {
        "prediction_type": "v_prediction",
        "timestep_type": "continuous",
        "use_karras_sigmas": True,
        "sigma_min": 0.002,
        "sigma_max": 700.0,
    },
}
"""What the world model takes for granted of Stable Video Diffusion's configuration."""
SECOND_TIME_SEED = 0


@dataclass(frozen=True)
class Sources:
    """Where the published files are.

    Attributes:
        svd: Stable Video Diffusion, diffusers' layout; its ``config.json`` files are read, its weights are not.
        clip: CLIP ViT-B/32, transformers' layout; its configuration and tokenizer are read.
        checkpoint: Ctrl-World's ``checkpoint-10000.pt``.
        statistics: ``stat.json`` of the data the checkpoint was trained on; None: DROID's.
        relevance: CLIP or SigLIP for the semantic reward, transformers' layout; None: to be added later.
    """

    svd: Path
    clip: Path
    checkpoint: Path
    statistics: Path | None = None
    relevance: Path | None = None


def import_ctrl_world(sources: Sources, out: Path, views: tuple[str, ...] = ("left", "right", "wrist")) -> str:
    """Check everything, then write a bundle.

    Args:
        sources: The published files.
        out: Folder to make; must be absent or empty.
        views: View order the checkpoint was trained with.

    Returns:
        The bundle's hash.

    Raises:
        BundleError: A file is missing, or something in it is not as it should be; nothing has been written then.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out} is there already and not an empty folder; choose another --out")
    config = read_published(sources, views)
    text = _read_json(sources.clip / "config.json", "--clip is openai/clip-vit-base-patch32")
    text = text.get("text_config", text)
    if text.get("projection_dim", 512) * TEXT_REPEATS != config.unet.token:
        raise BundleError(
            f"{sources.clip}: its text embedding, tiled twice, does not fill a token of {config.unet.token}"
        )
    image = _read_json(sources.svd / "image_encoder" / "config.json", _WHOLE_SVD)
    try:
        expected = checkpoint.expected_shapes(config, text, image)
    except (ValueError, TypeError) as error:  # diffusers and transformers check what they are built from
        raise BundleError(
            f"no network can be built as {sources.svd} and {sources.clip} describe it: {error}"
        ) from error
    weights = checkpoint.read_checkpoint(sources.checkpoint)
    checkpoint.check_checkpoint(weights, expected, str(sources.checkpoint))
    try:
        tokenizer = AutoTokenizer.from_pretrained(sources.clip, local_files_only=True)
    except (OSError, ValueError) as error:
        raise BundleError(f"{sources.clip} has no tokenizer that can be read: {error}") from error
    if sources.relevance is not None:
        DenseRelevance.from_folder(sources.relevance)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as unfinished:
            bundle = Path(unfinished) / "bundle"
            _write(bundle, weights, CLIPTextConfig.from_dict(text), tokenizer, sources, config)
            bundle.replace(out)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{out} cannot be written: {error}") from error
    return bundle_hash(out)


def _write(
    out: Path,
    weights: dict[str, Tensor],
    text: CLIPTextConfig,
    tokenizer: Any,
    sources: Sources,
    config: CtrlWorldConfig,
) -> None:
    (out / "text").mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SECOND_TIME_SEED)
        second_time = SecondTime(4 * config.unet.widths[0])
    denoiser = {
        **{name: value for name, value in weights.items() if name.startswith(("unet.", "action_encoder."))},
        **{f"second_time.{name}": value for name, value in second_time.state_dict().items()},
    }
    save_weights(denoiser, out / "denoiser.safetensors")
    autoencoder = {name: value for name, value in weights.items() if name.startswith("vae.")}
    save_weights(autoencoder, out / "autoencoder.safetensors")
    save_weights(checkpoint.part_of(weights, "text_encoder"), out / "text" / "model.safetensors")
    text.save_pretrained(out / "text")
    tokenizer.save_pretrained(out / "text")
    if sources.relevance is not None:
        shutil.copytree(sources.relevance, out / "relevance", ignore=_only_what_is_read)
    write_config(out, _bundle_config(config, sources))


def read_published(sources: Sources, views: tuple[str, ...]) -> CtrlWorldConfig:
    """The world model's configuration from Stable Video Diffusion's.

    Raises:
        BundleError: A file is missing, or a value is not what the world model needs.
    """
    if len(set(views)) < len(views):
        raise BundleError(f"--views {' '.join(views)}: every view has a name of its own")
    found = {name: _read_json(sources.svd / name, _WHOLE_SVD) for name in FIXED}
    for name, fixed in FIXED.items():
        for key, value in fixed.items():
            if found[name].get(key, value) != value:
                raise BundleError(
                    f"{sources.svd / name}: {key} is {found[name][key]!r}, need {value!r} (Stable Video Diffusion)"
                )
    unet, vae = found["unet/config.json"], found["vae/config.json"]
    default = CtrlWorldConfig()
    try:
        sizes = UNetConfig(
            widths=tuple(unet["block_out_channels"]),
            heads=tuple(unet["num_attention_heads"]),
            layers=unet["layers_per_block"],
            token=unet["cross_attention_dim"],
            time_ids=unet["addition_time_embed_dim"],
        )
        autoencoder = VaeConfig(tuple(vae["block_out_channels"]), vae["layers_per_block"], vae["scaling_factor"])
    except KeyError as error:
        raise BundleError(f"{sources.svd}: unet/config.json or vae/config.json lacks {error}") from error
    except TypeError as error:
        raise BundleError(f"{sources.svd}: a value in unet/config.json or vae/config.json: {error}") from error
    lower, upper = default.pose_lower, default.pose_upper
    if sources.statistics is not None:
        lower, upper = _percentiles(sources.statistics)
    return CtrlWorldConfig(unet=sizes, vae=autoencoder, views=views, pose_lower=lower, pose_upper=upper)


def _percentiles(file: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    values = _read_json(file, "--statistics is a stat.json with state_01 and state_99")
    try:
        lower, upper = (tuple(float(value) for value in values[key]) for key in ("state_01", "state_99"))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{file}: no usable state_01 and state_99: {error}") from error
    if len(lower) != 7 or len(upper) != 7 or not all(low < high for low, high in zip(lower, upper, strict=True)):
        raise BundleError(f"{file}: state_01 and state_99 need seven values each, the second higher")
    return lower, upper


def _bundle_config(config: CtrlWorldConfig, sources: Sources) -> CtrlWorldBundleConfig:
    return CtrlWorldBundleConfig(
        name="ctrl-world",
        world_model=config,
        robots=("panda", "fr3"),
        workspace_lower=(0.25, -0.40, 0.15),
        workspace_upper=(0.75, 0.40, 0.75),
        made_from={
            "checkpoint": sources.checkpoint.name,
            "checkpoint_sha256": file_hash(sources.checkpoint),
            "second_time": f"untrained, seed {SECOND_TIME_SEED}: the flow map still is the diffusion model",
            "statistics": "DROID" if sources.statistics is None else sources.statistics.name,
            "relevance": None if sources.relevance is None else sources.relevance.name,
            "versions": {name: version(name) for name in ("diffusers", "transformers", "torch")},
        },
    )


_WHOLE_SVD = "--svd is stabilityai/stable-video-diffusion-img2vid in diffusers' layout"


def _read_json(file: Path, advice: str) -> dict[str, Any]:
    try:
        values = json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(f"{file} is missing: {advice}") from error
    except (OSError, ValueError) as error:
        raise BundleError(f"{file} is not JSON that can be read: {error}") from error
    if not isinstance(values, dict):
        raise BundleError(f"{file} is not a JSON object: {advice}")
    return values


def _only_what_is_read(folder: str, names: list[str]) -> list[str]:
    """Weights of other frameworks, and of torch's own format where safetensors are there, stay behind."""
    heavy = {name for name in names if Path(name).suffix in (".bin", ".h5", ".msgpack", ".onnx", ".pt")}
    if not any(name.endswith(".safetensors") for name in names):
        heavy = {name for name in heavy if not name.startswith("pytorch_model")}
    return sorted(heavy | {name for name in names if name.startswith(".")})
