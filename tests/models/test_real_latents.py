from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from real_footage import add_latents, write_real

from models.errors import DatasetError, TrainingError
from models.real.latent_model import HISTORY_OFFSETS, HORIZON, PERCENTILE_1, PERCENTILE_99, LatentConfig, LatentModel
from models.real.latent_stage import LatentStage
from models.real.latents import LatentEpisodes
from models.training.config import LoopConfig
from models.training.loop import train

SMALL = LatentConfig(widths=(16, 16), blocks=1, embedding=64)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_real(tmp_path_factory.mktemp("real"))


def test_views_are_stacked_in_order_beside_the_observed_poses(real: Path):
    split = LatentEpisodes(real, "train", shortest=12)
    assert split.latents.shape == (60, 4, 72, 40)
    assert split.spans == [(0, 20), (20, 20), (40, 20)]
    first = torch.load(real / "latent_videos/train/1/2.pt", weights_only=True)
    assert np.allclose(split.latents[20:40, :, 48:], first, atol=1e-2)
    states = json.loads((real / "annotation/train/1.json").read_text())["states"]
    assert np.allclose(split.poses[20:40], states)


def test_episodes_without_usable_latents_are_counted_and_named(tmp_path: Path):
    root = write_real(tmp_path, episodes=8)
    folder = root / "latent_videos/train"
    (folder / "1/0.pt").unlink()
    (folder / "2/1.pt").write_bytes(b"PK")
    torch.save(torch.zeros(20, 4, 40, 24), folder / "3/2.pt")
    torch.save(torch.full((20, 4, 24, 40), torch.nan), folder / "4/2.pt")
    torch.save(torch.zeros(9, 4, 24, 40), folder / "5/0.pt")
    add_latents(root, "train", "6", np.zeros(9))
    path = root / "annotation/train/7.json"
    values = json.loads(path.read_text())
    del values["latent_videos"]
    path.write_text(json.dumps(values))
    split = LatentEpisodes(root, "train", shortest=12)
    assert split.summary() == (
        "train: 1 episode used, 7 skipped: 3 latents damaged, 2 latents missing, 2 lengths differ"
    )
    assert "need (T, 4, 24, 40)" in split.summary(details=True)
    with pytest.raises(DatasetError, match="no usable episode with latents in split val"):
        LatentEpisodes(root, "val", shortest=50)


def test_real_droid_latents_load(droid: Path):
    split = LatentEpisodes(droid, "val", shortest=12)
    assert (len(split.spans), len(split.poses), split.skipped) == (4, 267, {})
    assert 0.7 < split.latents.astype(np.float32).std() < 1.1


def test_poses_are_scaled_by_percentiles_and_clipped():
    model = LatentModel(SMALL)
    middle = (np.array(PERCENTILE_1) + PERCENTILE_99) / 2
    poses = torch.tensor(np.stack([PERCENTILE_1, middle, PERCENTILE_99] + [[9.0] * 7] * 5), dtype=torch.float32)[None]
    scaled = model.pose_features(poses)[0, :, :7]
    for row, value in enumerate((-1, 0, 1, 1)):
        assert torch.allclose(scaled[row], torch.tensor(float(value)), atol=1e-5)


def test_the_wrap_of_euler_angles_is_not_a_motion():
    model = LatentModel(SMALL)
    poses = torch.tensor([0.5, 0, 0.3, np.pi - 0.01, 0, 0, 0]).repeat(1, 8, 1)
    poses[0, 4:, 3] = -np.pi + 0.01
    relative = model.pose_features(poses)[0, :, 7:]
    assert relative.abs().max() < 0.03


def test_an_untrained_model_repeats_the_current_frame():
    history = torch.randn(2, len(HISTORY_OFFSETS), 4, 72, 40)
    poses = torch.zeros(2, len(HISTORY_OFFSETS), 7)
    noise = torch.randn(2, HORIZON, 4, 72, 40)
    future = LatentModel(SMALL).predict(history, poses, torch.zeros(2, HORIZON, 7), noise)
    assert torch.allclose(future, history[:, -1:].expand_as(future), atol=0.01)


def test_it_learns_what_actions_do_and_goes_on_from_where_it_was(real: Path, tmp_path: Path):
    """In the synthetic footage every pixel follows the hand's x, so nothing but the actions says what comes."""
    config = LoopConfig(batch=4, rate=1e-2, steps=120, threads=1, half=False, average=0.1)
    held_out = train(LatentStage(real, config=SMALL), config, tmp_path)["held_out"]
    assert held_out["train"]["relative_error"] < 0.75
    assert held_out["train"]["swapped_error_ratio"] > 1.3
    weights = tmp_path / "latent-denoiser.safetensors"
    further = LatentStage(real, init=weights, config=SMALL)
    assert further.figures(further.held_out_clips) == held_out["val"]
    assert torch.equal(further.module.change_scale, LatentStage(real, config=SMALL).module.change_scale)


def test_weights_of_another_model_are_refused(real: Path, tmp_path: Path):
    with pytest.raises(TrainingError, match="not a safetensors file"):
        LatentStage(real, init=tmp_path / "none.safetensors", config=SMALL)
    config = LoopConfig(batch=2, rate=1e-3, steps=1, threads=1)
    train(LatentStage(real, config=SMALL), config, tmp_path)
    with pytest.raises(TrainingError, match="another model"):
        LatentStage(real, init=tmp_path / "latent-denoiser.safetensors", config=LatentConfig(widths=(8, 16)))


def test_percentiles_beside_the_data_are_used(tmp_path: Path):
    root = write_real(tmp_path)
    (root / "stat.json").write_text(json.dumps({"state_01": [-1.0] * 7, "state_99": [1.0] * 7}))
    module = LatentStage(root, config=SMALL).module
    assert (module.lowest.tolist(), module.highest.tolist()) == ([-1.0] * 7, [1.0] * 7)
    (root / "stat.json").write_text(json.dumps({"state_01": [1.0] * 7, "state_99": [1.0] * 7}))
    with pytest.raises(DatasetError, match=r"stat\.json: no usable state_01"):
        LatentStage(root, config=SMALL)
