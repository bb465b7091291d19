"""Everything a user does with the published weights, from the files to an imagined video (docs/full-size.md).

Once with those in the folder that VIDPLAN_WEIGHTS names, and always with random ones of a reduced size under the same
names, to see that all of it runs. What only trained weights can do is asked of the published ones alone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

from ctrl_world_files import reduced_config, write_published, write_relevance

from models import bundle_cli
from models.adapter import load_adapter
from models.adapter_ctrl_world import CtrlWorldAdapter
from models.adapter_recordings import read_chunks
from models.ctrl_world.bundle import load_world_model
from models.ctrl_world.config import UNetConfig
from models.ctrl_world.video_model import CtrlWorldModel
from models.real.clips import ObservedClips
from models.real.latents import LatentEpisodes
from models.relevance.dense import DenseRelevance
from models.training.adapter_stage import errors

SVD, CLIP, CHECKPOINT = "stable-video-diffusion-img2vid", "clip-vit-base-patch32", "Ctrl-World/checkpoint-10000.pt"
ADAPTER = "Ctrl-World/action_adapter/model2_15_9.pth"
RELEVANCE = {"clip-vit-base-patch16": "clip", "siglip-base-patch16-224": "siglip"}


def write_reduced(root: Path) -> Path:
    """The folder as a user fills it, with random weights of a reduced size."""
    for name, path in write_published(root / "made", reduced_config()).items():
        target = root / {"svd": SVD, "clip": CLIP, "checkpoint": CHECKPOINT}[name]
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    for name, kind in RELEVANCE.items():
        write_relevance(kind, root / name)
    (root / ADAPTER).parent.mkdir()
    torch.save(CtrlWorldAdapter().state_dict(), root / ADAPTER)
    return root


@pytest.fixture(scope="module", params=["published", "reduced"])
def weights(request, tmp_path_factory) -> Path:
    if request.param == "reduced":
        torch.set_num_threads(1)
        return write_reduced(tmp_path_factory.mktemp("reduced"))
    folder = os.environ.get("VIDPLAN_WEIGHTS")
    if not folder:
        pytest.skip("VIDPLAN_WEIGHTS is not set: the published weights (17 GB) are not part of a checkout")
    return Path(folder)


@pytest.fixture(scope="module")
def world(weights: Path, tmp_path_factory) -> Path:
    """The imported bundle."""
    out = tmp_path_factory.mktemp("weights") / "bundle"
    files = {"--svd": SVD, "--clip": CLIP, "--checkpoint": CHECKPOINT}
    sources = [word for option, name in files.items() for word in (option, str(weights / name))]
    assert bundle_cli.main(["import", "ctrl-world", *sources, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def model(world: Path) -> CtrlWorldModel:
    return load_world_model(world, "cuda" if torch.cuda.is_available() else "cpu")


def trained(model: CtrlWorldModel) -> bool:
    return model.config.unet == UNetConfig()


def part(name: str, weights: Path) -> Path:
    if not (weights / name).exists():
        pytest.skip(f"{weights / name} was not downloaded")
    return weights / name


@pytest.mark.timeout(1800)
def test_it_is_imported_and_explained(world: Path, model: CtrlWorldModel, capsys):
    assert bundle_cli.main(["inspect", str(world), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["changed_files"] == []
    assert not report["can_plan"], "it has no heads yet"
    stored = sum(parameter.numel() for parameter in model.denoiser.parameters())
    assert report["parameters"]["denoiser.safetensors"] == stored
    if trained(model):
        assert stored > 1_524_623_082
    assert bundle_cli.main(["inspect", str(world)]) == 0
    assert "each 320x192" in capsys.readouterr().out


@pytest.mark.timeout(1800)
@torch.no_grad()
def test_it_predicts_real_footage(model: CtrlWorldModel, droid: Path):
    device = next(model.parameters()).device
    steps, clips = (50, 4) if device.type == "cuda" else (5, 1) if trained(model) else (2, 1)
    split = LatentEpisodes(droid, "val", shortest=17)
    offsets, horizon = model.config.history_offsets, model.config.horizon
    batch = ObservedClips(split.spans, split.poses, split.latents, offsets, horizon).spread(clips)
    history, poses, actions, future = (
        value.to(device) for value in (batch.history, batch.history_poses, batch.actions, batch.future)
    )
    noise = model.initial_noise(batch.history, torch.Generator().manual_seed(0)).to(device)
    imagined = model.imagine(
        history,
        poses,
        actions,
        noise=noise,
        steps=steps,
        teacher=True,
        guidance=model.config.guidance if trained(model) else None,
        instruction="put the towel in the bowl",
    )
    assert imagined.latents.shape == future.shape
    assert imagined.latents.isfinite().all()
    if trained(model):
        error = (imagined.latents - future).square().mean()
        assert error < (history[:, -1:] - future).square().mean(), "worse than a still picture"
    assert model.decode(imagined.latents[:1, :1]).shape == (1, 1, 3, 192, 320, 3)


@torch.no_grad()
def test_the_autoencoder_makes_the_published_latents(model: CtrlWorldModel, droid: Path):
    latents = torch.from_numpy(LatentEpisodes(droid, "val", shortest=17).latents[:1]).float()[None]
    images = model.decode(latents.to(next(model.parameters()).device))
    again = model.encode(images).cpu()
    assert again.shape == latents.shape
    if trained(model):
        assert (again - latents).square().mean() < 0.25 * latents.var()


@pytest.mark.parametrize("name", [CLIP, *RELEVANCE])
@torch.no_grad()
def test_relevance_finds_a_red_square(weights: Path, name: str):
    folder = part(name, weights)
    if not list(folder.glob("*.safetensors")) and not list(folder.glob("pytorch_model*")):
        pytest.skip(f"of {folder} only the small files were downloaded")
    relevance = DenseRelevance.from_folder(folder)
    score: Tensor = relevance(red_square(), "red square")[0]
    assert ((score >= 0) & (score <= 1)).all()
    if relevance_is_trained(folder):
        rows, columns = score.shape
        inside = score[rows // 3 : 2 * rows // 3, 3 * columns // 5 : 4 * columns // 5].mean()
        assert inside > score.mean()


def red_square() -> Tensor:
    image = torch.full((1, 3, 192, 320), 0.6)
    image[:, :, 64:128, 192:256] = torch.tensor([0.85, 0.05, 0.05])[:, None, None]
    return image


def relevance_is_trained(folder: Path) -> bool:
    config = json.loads((folder / "config.json").read_text())
    return config["vision_config"].get("hidden_size", 768) >= 768


def test_the_action_adapter_has_the_published_error(weights: Path, droid: Path):
    adapter = load_adapter(part(ADAPTER, weights))
    error = errors(adapter, read_chunks(droid, "val", 15))["joints"]
    assert 0 < error < 1
    if (weights / CHECKPOINT).stat().st_size > 1e9:
        assert error == pytest.approx(0.0131, abs=2e-4)
