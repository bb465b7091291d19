"""A bundle: one folder with every model a planner needs, and what they were made for.

``bundle.json`` (a `BundleConfig`) beside one ``.safetensors`` file per part, in half precision. Nothing about view
order, cameras, normalisation or bins is implicit. ``familiarity.safetensors`` may be missing.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file, save_file

from models.autoencoder import Autoencoder, AutoencoderConfig
from models.bundle_parts import BundleParts
from models.cameras import Camera
from models.config_io import from_plain, to_plain
from models.denoiser import DenoiserConfig, FramesAsChannelsUNet
from models.edm import Edm
from models.errors import BundleError
from models.head_unet import HeadConfig
from models.semantic import SemanticConfig, SemanticHead
from models.uncertainty import UncertaintyHead
from models.uncertainty.familiarity import FILE as FAMILIARITY
from models.uncertainty.familiarity import Familiarity, load_familiarity, save_familiarity
from models.value import ValueHead
from models.video_model import VideoModel

FORMAT = 1
FAMILY = "VideoModel"
"""Class name of the world model in bundles that name none."""
PARTS = ("autoencoder", "denoiser", "uncertainty", "value", "semantic")


@dataclass(frozen=True)
class BundleConfig:
    """What a bundle was made for; ``bundle.json``.

    Attributes:
        name: Its name, shown to robots.
        views: View order of images and of the stacked latents.
        image_size: (rows, columns) of one view.
        history_offsets: History frames as offsets from the newest, oldest first.
        frame_period: Seconds between video frames.
        horizon: Imagined frames H.
        cameras: One per view, at `image_size`, from the training data.
        change_scale: Standard deviation of the latent change after 1..H frames (the diffusion model's data unit).
        robots: Arms it was made for.
        workspace_lower: Lower corner of the flange's box in the base frame, metres.
        workspace_upper: Upper corner.
        max_linear_speed: Highest flange speed in a plan, m/s.
        max_angular_speed: Highest flange angular speed in a plan, rad/s.
        max_tilt: How far the hand may lean from straight down, rad: as far as it did in the training data.
        gamma: Discount per frame of the value head.
        phrases: Object phrases the semantic reward was trained on.
        edm: Diffusion constants.
        autoencoder: Size of the autoencoder.
        denoiser: Size of the denoiser.
        uncertainty: Size, bins and error range of the uncertainty head.
        value: Size and bins of the value head.
        semantic: Size of the semantic reward.
        made_from: Where it came from: data, seed, seconds per stage.
        format: Version of this layout.
    """

    name: str
    views: tuple[str, ...]
    image_size: tuple[int, int]
    history_offsets: tuple[int, ...]
    frame_period: float
    horizon: int
    cameras: tuple[Camera, ...]
    change_scale: tuple[float, ...]
    robots: tuple[str, ...]
    workspace_lower: tuple[float, float, float]
    workspace_upper: tuple[float, float, float]
    max_linear_speed: float = 0.25
    max_angular_speed: float = 1.0
    max_tilt: float = math.pi
    gamma: float = 0.97
    phrases: tuple[str, ...] = ()
    edm: Edm = field(default_factory=Edm)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    denoiser: DenoiserConfig = field(default_factory=DenoiserConfig)
    uncertainty: HeadConfig = field(default_factory=HeadConfig)
    value: HeadConfig = field(default_factory=lambda: HeadConfig(bins=20, highest=1.0))
    semantic: SemanticConfig = field(default_factory=SemanticConfig)
    made_from: dict = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class Bundle(BundleParts):
    """Loaded models. See `interfaces` for what each can do.

    Attributes:
        familiarity: The alarm for unfamiliar scenes, where the bundle has one: to a planner without it nothing is
            strange.
        hash: See `bundle_hash`.
    """

    world_model: VideoModel
    uncertainty: UncertaintyHead
    semantic: SemanticHead
    value: ValueHead
    config: BundleConfig
    hash: str
    familiarity: Familiarity | None = None


def build(config: BundleConfig) -> Bundle:
    """The models of a configuration with fresh weights.

    Raises:
        BundleError: The configuration contradicts itself.
    """
    _check(config)
    model = VideoModel(
        Autoencoder(config.autoencoder),
        FramesAsChannelsUNet(config.denoiser),
        config.edm,
        config.cameras,
        config.image_size,
        config.change_scale,
    )
    conditioner = model.conditioner
    return Bundle(
        model,
        UncertaintyHead(config.uncertainty, conditioner),
        SemanticHead(config.semantic),
        ValueHead(config.value, conditioner),
        config,
        "",
    )


def load_bundle(path: str | Path, device: str = "cpu") -> Bundle:
    """Load a bundle, ready for inference (float32, evaluation mode, weights without gradients).

    A bundle of another family (`family_of`) is loaded by its own package, and has the same parts.

    Raises:
        BundleError: A file is missing or damaged, or weights do not fit the configuration.
    """
    folder = Path(path)
    if family_of(folder) == "CtrlWorldModel":
        from models.ctrl_world import require_full

        require_full()
        from models.ctrl_world.bundle import load_ctrl_world

        return cast(Bundle, load_ctrl_world(folder, device))
    config = read_config(folder)
    bundle = build(config)
    for name, module in bundle.parts().items():
        file = folder / f"{name}.safetensors"
        try:
            weights = load_file(file)
        except FileNotFoundError as error:
            raise BundleError(
                f"{file} is missing; a bundle has {', '.join(f'{p}.safetensors' for p in PARTS)}"
            ) from error
        except Exception as error:
            raise BundleError(f"{file} is not a safetensors file: {error}") from error
        try:
            module.load_state_dict(
                {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
            )
        except RuntimeError as error:
            raise BundleError(f"{file} does not fit {folder / 'bundle.json'}: {error}") from error
    for module in (bundle.world_model, bundle.uncertainty, bundle.semantic, bundle.value):
        module.to(device).eval().requires_grad_(False)
    bundle.world_model.fast = has_bfloat16(device)
    familiarity = load_familiarity(folder)
    return replace(
        bundle, hash=bundle_hash(folder), familiarity=familiarity.to(device) if familiarity is not None else None
    )


def has_bfloat16(device: str) -> bool:
    """Whether bfloat16 is worth it: on a GPU always, on a processor where it computes in it."""
    if not device.startswith("cpu"):
        return True
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check is not None and check() for check in checks)


def save_bundle(bundle: Bundle, path: str | Path) -> Path:
    """Write a bundle in half precision; returns its folder."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    for name, module in bundle.parts().items():
        weights = {
            key: value.half().contiguous() if value.is_floating_point() else value.contiguous()
            for key, value in module.state_dict().items()
        }
        save_file(weights, folder / f"{name}.safetensors")
    if bundle.familiarity is not None:
        save_familiarity(bundle.familiarity, folder)
    (folder / "bundle.json").write_text(json.dumps(to_plain(bundle.config), indent=1) + "\n")
    return folder


def read_config(path: str | Path) -> BundleConfig:
    """Read ``bundle.json``.

    Raises:
        BundleError: It is missing, not JSON, of another family or format, or lacks a field.
    """
    file, values = Path(path) / "bundle.json", _read_values(path)
    if family_of(path) != FAMILY:
        raise BundleError(f"{file} is of the family {family_of(path)}, need {FAMILY}")
    if isinstance(values, dict) and values.get("format") != FORMAT:
        raise BundleError(f"{file} has format {values.get('format')!r}, this version of vidplan reads {FORMAT}")
    try:
        return from_plain(BundleConfig, values)
    except ValueError as error:
        raise BundleError(f"{file}: {error}") from error


def family_of(path: str | Path) -> str:
    """Class name of a bundle's world model.

    Raises:
        BundleError: ``bundle.json`` is missing or not JSON.
    """
    values = _read_values(path)
    return str(values.get("family", FAMILY)) if isinstance(values, dict) else FAMILY


def _read_values(path: str | Path) -> Any:
    file = Path(path) / "bundle.json"
    try:
        return json.loads(file.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleError(
            f"{file} is missing: {path} is not a bundle (the shipped one is models/bundles/tabletop)"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{file} is not JSON: {error}") from error


def bundle_hash(path: str | Path) -> str:
    """SHA-256 over the configuration and the weights (`PARTS`, and the familiarity if there is one), hexadecimal."""
    digest, folder = hashlib.sha256(), Path(path)
    for name in ("bundle.json", *(f"{part}.safetensors" for part in PARTS)):
        digest.update((folder / name).read_bytes())
    if (folder / FAMILIARITY).is_file():
        digest.update((folder / FAMILIARITY).read_bytes())
    return digest.hexdigest()


def _check(config: BundleConfig) -> None:
    rows, columns = config.image_size[0] // 8, config.image_size[1] // 8
    channels, views = config.autoencoder.latent_channels, len(config.views)
    denoiser = config.denoiser
    wanted = (channels, rows * views, columns, len(config.history_offsets), config.horizon)
    given = (denoiser.latent_channels, denoiser.rows, denoiser.columns, denoiser.history, denoiser.horizon)
    if wanted != given:
        raise BundleError(f"the denoiser is built for (C, V*h, w, T, H) = {given}, the bundle needs {wanted}")
    for name, head in (("uncertainty", config.uncertainty), ("value", config.value)):
        if (head.latent_channels, head.latent_size, head.views, head.horizon) != (
            channels,
            (rows, columns),
            views,
            config.horizon,
        ):
            raise BundleError(
                f"the {name} head's sizes do not fit latents of {channels} x {views} x {rows} x {columns}"
            )
    if tuple(camera.name for camera in config.cameras) != config.views or len(config.change_scale) != config.horizon:
        raise BundleError("cameras must follow the view order, and change_scale must have one value per imagined frame")
    if not torch.tensor(config.change_scale).gt(0).all():
        raise BundleError(f"change_scale must be positive, got {config.change_scale}")
