"""The published weights themselves, where VIDPLAN_WEIGHTS names their folder (docs/full-size.md)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

from models.ctrl_world.bundle import load_world_model
from models.ctrl_world.bundle_config import changed_files, read_config
from models.ctrl_world.importer import Sources, import_ctrl_world
from models.ctrl_world.video_model import CtrlWorldModel
from models.real.clips import ObservedClips
from models.real.latents import LatentEpisodes
from models.relevance.dense import DenseRelevance

FOLDERS = ("clip-vit-base-patch16", "clip-vit-base-patch32", "siglip-base-patch16-224")


@pytest.fixture(scope="module")
def weights() -> Path:
    folder = os.environ.get("VIDPLAN_WEIGHTS")
    if not folder:
        pytest.skip("VIDPLAN_WEIGHTS is not set: the published weights (17 GB) are not part of a checkout")
    return Path(folder)


@pytest.fixture(scope="module")
def model(weights: Path, tmp_path_factory) -> CtrlWorldModel:
    out = tmp_path_factory.mktemp("weights") / "bundle"
    sources = Sources(
        weights / "stable-video-diffusion-img2vid",
        weights / "clip-vit-base-patch32",
        weights / "Ctrl-World" / "checkpoint-10000.pt",
    )
    import_ctrl_world(sources, out)
    assert changed_files(out, read_config(out)) == []
    return load_world_model(out, "cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.timeout(1800)
@torch.no_grad()
def test_it_predicts_real_footage_better_than_a_still_picture(model: CtrlWorldModel, droid: Path):
    device = next(model.parameters()).device
    steps, clips = (50, 4) if device.type == "cuda" else (5, 1)
    split = LatentEpisodes(droid, "val", shortest=17)
    offsets, horizon = model.config.history_offsets, model.config.horizon
    batch = ObservedClips(split.spans, split.poses, split.latents, offsets, horizon).spread(clips)
    history, poses, actions, future = (
        value.to(device) for value in (batch.history, batch.history_poses, batch.actions, batch.future)
    )
    noise = model.initial_noise(batch.history, torch.Generator().manual_seed(0)).to(device)
    imagined = model.imagine(
        history, poses, actions, noise=noise, steps=steps, teacher=True, guidance=model.config.guidance
    )
    error = (imagined.latents - future).square().mean()
    assert error < (history[:, -1:] - future).square().mean()
    assert model.decode(imagined.latents[:1]).shape == (1, horizon, 3, 192, 320, 3)


@torch.no_grad()
def test_the_autoencoder_makes_the_published_latents(model: CtrlWorldModel, droid: Path):
    latents = torch.from_numpy(LatentEpisodes(droid, "val", shortest=17).latents[:1]).float()[None]
    images = model.decode(latents.to(next(model.parameters()).device))
    again = model.encode(images).cpu()
    assert (again - latents).square().mean() < 0.25 * latents.var()


@pytest.mark.parametrize("name", FOLDERS)
@torch.no_grad()
def test_relevance_finds_a_red_square(weights: Path, name: str):
    if not (weights / name).is_dir():
        pytest.skip(f"{name} was not downloaded")
    relevance = DenseRelevance.from_folder(weights / name)
    image = torch.full((1, 3, 192, 320), 0.6)
    image[:, :, 64:128, 192:256] = torch.tensor([0.85, 0.05, 0.05])[:, None, None]
    score = relevance(image, "red square")[0]
    rows, columns = score.shape
    inside = score[rows // 3 : 2 * rows // 3, 3 * columns // 5 : 4 * columns // 5].mean()
    assert inside > score.mean()
