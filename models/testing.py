"""A tiny bundle with random weights, for tests of everything that needs models but not their quality."""

from __future__ import annotations

from pathlib import Path

import torch

from models.autoencoder import AutoencoderConfig
from models.bundle import BundleConfig, build, save_bundle
from models.cameras import Camera
from models.denoiser import DenoiserConfig
from models.head_unet import HeadConfig
from models.semantic import SemanticConfig

_FOCAL = 61.0


def looking_at(name: str, position: tuple[float, float, float], target: tuple[float, float, float]) -> Camera:
    """A fixed 80x48 camera at ``position`` looking at ``target`` (base frame, metres), upright."""
    origin, forward = torch.tensor(position), torch.tensor(target) - torch.tensor(position)
    forward = forward / forward.norm()
    right = torch.linalg.cross(forward, torch.tensor([0.0, 0.0, 1.0]))
    right = right / right.norm()
    down = torch.linalg.cross(forward, right)
    transform = torch.eye(4)
    transform[:3, :3], transform[:3, 3] = torch.stack([right, down, forward], dim=1), origin
    return Camera(name, _intrinsics(), "base", tuple(tuple(row) for row in transform.tolist()))


def random_bundle_config(seed: int = 0) -> BundleConfig:
    """Configuration of a tiny bundle with DROID-like cameras."""
    flange = ((0.0, -1.0, 0.0, 0.06), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    return BundleConfig(
        name=f"random-{seed}",
        views=("left", "right", "wrist"),
        image_size=(48, 80),
        history_offsets=(-1, 0),
        frame_period=0.2,
        horizon=5,
        cameras=(
            looking_at("left", (0.18, 0.54, 0.52), (0.48, 0.0, 0.07)),
            looking_at("right", (0.18, -0.54, 0.52), (0.48, 0.0, 0.07)),
            Camera("wrist", _intrinsics(), "flange", flange),
        ),
        change_scale=(0.4, 0.55, 0.65, 0.75, 0.8),
        robots=("panda", "fr3"),
        workspace_lower=(0.25, -0.40, 0.15),
        workspace_upper=(0.75, 0.40, 0.75),
        phrases=("carrot", "pea", "bowl"),
        autoencoder=AutoencoderConfig(widths=(8, 16)),
        denoiser=DenoiserConfig(widths=(16, 32), blocks=1, embedding=32),
        uncertainty=HeadConfig(widths=(8, 16, 16), embedding=16),
        value=HeadConfig(bins=20, highest=1.0, widths=(8, 16, 16), embedding=16),
        semantic=SemanticConfig(width=16, features=8),
        made_from={"random_seed": seed},
    )


def random_bundle(folder: str | Path, seed: int = 0) -> Path:
    """Write a tiny random bundle whose every layer is alive (no output is constant) and return its folder."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        bundle = build(random_bundle_config(seed))
        for module in bundle.parts().values():
            for parameter in module.parameters():
                if not parameter.any():
                    torch.nn.init.normal_(parameter, std=0.05)
    return save_bundle(bundle, Path(folder) / "bundle")


def _intrinsics() -> tuple[tuple[float, ...], ...]:
    return ((_FOCAL, 0.0, 40.0), (0.0, _FOCAL, 24.0), (0.0, 0.0, 1.0))
