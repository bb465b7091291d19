"""The cloned policy learns from the right episodes, looks, and survives being saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_recordings import write_demonstrations
from torch.nn import functional

from models.data import Dataset
from models.errors import BundleError, DatasetError
from models.policy import ClonedPolicy, PolicyConfig, load_policy, save_policy
from models.policy_demonstrations import demonstrations
from models.policy_training import blotted, train_policy
from models.training.config import LoopConfig

TINY = PolicyConfig(steps=6, width=8, hidden=64, text=16)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demonstrations(tmp_path_factory.mktemp("policy") / "data")


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    out = tmp_path_factory.mktemp("trained")
    loop = LoopConfig(batch=8, rate=1e-2, steps=120, threads=1, half=False, device="cpu", average=0.02)
    return train_policy(data, out, loop, 3, TINY), out / "policy.safetensors"


def test_only_successful_picks_of_its_targets_in_uncluttered_scenes_are_demonstrations(data: Path) -> None:
    split = Dataset(data, "train", progress=False)
    shown = demonstrations(split, 6, objects=3)
    names = {c.episode.name: range(c.start, c.start + c.length) for c in split.episodes}
    assert shown.episodes == 8
    for name in ("failed", "chunks", "pea", "cluttered"):
        assert not set(names[name]) & set(shown.rows), name
    assert demonstrations(split, 6, objects=5).episodes == 9
    with pytest.raises(DatasetError, match=r"no successful pick of carrot or towel .* at most 0 objects"):
        demonstrations(split, 6, objects=0)


def test_actions_begin_at_the_frame_and_rest_after_the_end(data: Path) -> None:
    shown = demonstrations(Dataset(data, "train", progress=False), 6, objects=3)
    values = json.loads((data / "annotation" / "train" / "0.json").read_text())
    velocities = np.array(values["action.joint_velocity"])
    assert shown.actions.shape == (len(shown.rows), 6, 8)
    assert np.allclose(shown.actions[2, :, :7], velocities[6:12])
    length = values["video_length"]
    assert np.allclose(shown.actions[length - 1, 1:, :7], 0)
    assert np.allclose(shown.joints[2], values["observation.state.joint_position"][6])
    assert shown.prompts[0] == values["texts"][0]
    assert shown.places.shape == (len(shown.rows), 6)
    assert np.allclose(shown.places[0], np.tile([0.3 - 0.5, 0.3, 0.3 - 0.35], 2)), "target and bowl from the flange"


def test_it_learns_to_go_where_the_picture_says(trained: tuple[dict, Path]) -> None:
    held_out = trained[0]["held_out"]
    assert held_out["velocity error"] < 0.7 * held_out["standing still"], held_out
    assert held_out["gripper wrong"] < 0.2
    assert held_out["target missed by"] < 0.1
    assert trained[0]["notes"]["episodes"] == 8


def test_it_looks_at_what_is_named(data: Path, trained: tuple[dict, Path]) -> None:
    policy, split = load_policy(trained[1]), Dataset(data, "val", progress=False)
    shown = demonstrations(split, 6, objects=3)
    pictures = torch.from_numpy(split.frames[shown.rows][:, [0, 2]])
    joints, gripper = torch.from_numpy(shown.joints), torch.from_numpy(shown.gripper)
    gaze = policy(pictures, joints, gripper, shown.prompts).gaze
    carrot = torch.from_numpy(split.segmentation[shown.rows][:, [0, 2]] == split.classes.index("carrot"))
    there = functional.max_pool2d(carrot.float().flatten(0, 1), 4).view(len(pictures), 2, -1)
    assert (gaze[:, :, 0] * there).sum(-1).mean() > 0.9


def test_blots_cover_parts_of_a_view_with_any_colour() -> None:
    draws = torch.rand(4, 2, 3, 8, generator=torch.Generator().manual_seed(0))
    views = torch.full((4, 2, 48, 80, 3), 200, dtype=torch.uint8)
    changed = (blotted(views, draws) != 200).any(-1).float().mean((2, 3))
    assert 0 < changed.mean() < 0.2
    assert changed.max() < 0.4
    draws[..., 4] = 0.9
    assert torch.equal(blotted(views, draws), views.float()), "none is there"


def test_a_saved_policy_acts_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    policy = ClonedPolicy(TINY).eval()
    policy.scale.fill_(0.3)
    save_policy(policy, tmp_path / "policy.safetensors")
    again = load_policy(tmp_path / "policy.safetensors")
    pictures = torch.randint(0, 256, (2, 2, 48, 80, 3), dtype=torch.uint8)
    asked = (pictures, torch.zeros(2, 7), torch.zeros(2), ["put the carrot in the bowl", "pick up the towel"])
    assert again.config == TINY
    assert torch.equal(policy.act(*asked), again.act(*asked))
    assert policy.act(*asked).shape == (2, 6, 8)


def test_what_is_no_policy_is_refused(tmp_path: Path, trained: tuple[dict, Path]) -> None:
    broken = tmp_path / "broken.safetensors"
    with pytest.raises(BundleError, match="vidplan policy train"):
        load_policy(broken)
    broken.write_bytes(trained[1].read_bytes()[:1000])
    with pytest.raises(BundleError, match="vidplan policy train"):
        load_policy(broken)
