"""Heads, rewards and flow map of a full-size bundle together, at reduced width."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

from ctrl_world_files import alive, reduced_config, write_published, write_relevance
from real_footage import write_real

from models import bundle_cli
from models.bundle import load_bundle
from models.ctrl_world import cli, flow_map_stage, heads_stage
from models.ctrl_world.autoencoder import VideoAutoencoder
from models.ctrl_world.bundle import fresh_heads, head_config, load_world_model, save_heads
from models.ctrl_world.bundle_config import changed_files, read_config
from models.ctrl_world.config import CtrlWorldConfig
from models.ctrl_world.footage import Footage
from models.ctrl_world.video_model import CtrlWorldModel
from models.errors import BundleError
from models.head_unet import HeadConfig
from plan_protocol.server import Context
from planner_server.config import PlannerConfig
from planner_server.limits import project
from planner_server.service import blank_request, build_planner, openpi_policy

CONFIG = reduced_config()


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """An imported bundle with CLIP, small pictures, no heads."""
    root = tmp_path_factory.mktemp("full")
    published = write_published(root, CONFIG)
    published["relevance"] = write_relevance("clip", root / "relevance")
    sources = [word for name, path in published.items() for word in (f"--{name}", str(path))]
    assert bundle_cli.main(["import", "ctrl-world", *sources, "--out", str(root / "bundle")]) == 0
    file = root / "bundle" / "bundle.json"
    values = json.loads(file.read_text())
    values["world_model"]["image_size"] = CONFIG.image_size
    file.write_text(json.dumps(values))
    return root / "bundle"


@pytest.fixture(scope="module")
def bundle(world: Path) -> Any:
    """The same with heads."""
    torch.set_num_threads(1)
    sizes = {"latent_channels": 4, "latent_size": (8, 8), "horizon": 4, "widths": (8, 16, 16), "embedding": 16}
    heads = fresh_heads(
        load_world_model(world),
        uncertainty=HeadConfig(bins=30, highest=10.0, **sizes),
        value=HeadConfig(bins=20, highest=1.0, **sizes),
    )
    for seed, head in enumerate(heads):
        alive(head, seed)
    save_heads(world, *heads)
    return load_bundle(world)


def scene() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    poses = torch.tensor([0.48, 0.05, 0.35, 3.1, 0.02, -0.8, 0.3]) + 0.05 * torch.randn(1, 9, 7, generator=generator)
    return torch.randn(1, 5, 4, 24, 8, generator=generator), poses[:, :5], poses[:, 5:]


def test_heads_are_of_the_papers_size_by_default():
    with torch.device("meta"):
        uncertainty, value = fresh_heads(CtrlWorldModel(CONFIG))
    for head, bins, highest in ((uncertainty, 30, 10.0), (value, 20, 1.0)):
        assert (head.config.bins, head.config.highest) == (bins, highest)
        assert head.unet.attention.project_in.in_features == 512
        assert head.unet.config.widths == (128, 256, 512)
    full = head_config(CtrlWorldConfig(), 30, 10.0)
    assert (full.latent_size, full.views, full.horizon, full.latent_channels) == ((24, 40), 3, 4, 4)


def test_a_bundle_with_heads_judges_what_it_imagines(bundle, world: Path):
    history, poses, actions = scene()
    actions.requires_grad_()
    o = bundle.world_model.imagine(history, poses, actions, noise=torch.zeros(1, 4, 4, 24, 8))
    h = bundle.uncertainty(o).h
    assert h.shape == (1, 4, 3, 8, 8)
    assert (h >= 0).all()
    assert (h <= 1).all()
    relevance = bundle.semantic.relevance(o.latents, "carrot")
    assert relevance.shape == (1, 4, 3, 32, 32)
    expected = bundle.value.expected(bundle.value(o, relevance))
    assert expected.shape == (1, 4)
    expected.sum().backward()
    assert (actions.grad.abs().amax((0, 2)) > 0).all()
    assert changed_files(world, read_config(world)) == []
    assert bundle.config.views == ("left", "right", "wrist")
    assert bundle.config.history_offsets == (-12, -9, -6, -3, 0)


def test_a_bundle_without_calibrated_cameras_plans(bundle, monkeypatch):
    """Algorithm 3 on the reduced bundle, decoding apart: motions along the axes, one of them chosen and refined."""
    monkeypatch.setattr(VideoAutoencoder, "decode_pixels", lambda self, latents, views: painted(latents, 8))
    assert bundle.config.cameras == ()
    planner = build_planner(bundle, PlannerConfig(flow_steps=1, iterations=1, unsure=1.0), proposers=("basis",))
    request = blank_request(bundle)
    plan = planner.plan(request, Context("arm", "session"))
    assert plan.poses.shape == (4, 7)
    assert np.allclose(project(plan.poses, request.committed[-1], planner.limits), plan.poses, atol=1e-4)
    assert [candidate.name for candidate in plan.candidates][:2] == ["+x", "-x"]
    assert len({candidate.reward for candidate in plan.candidates}) > 3, "all futures look the same"
    assert plan.candidates[plan.chosen].reward == max(candidate.reward for candidate in plan.candidates)
    assert plan.objective[1] >= plan.objective[0]
    assert 0 < plan.uncertainty <= 1
    assert all(0 <= candidate.distance <= 1 for candidate in plan.candidates)


def test_a_policy_finds_its_cameras_by_name_where_none_is_calibrated(bundle):
    policy = openpi_policy(bundle, "ws://127.0.0.1:9", 0.0)
    assert (policy._exterior, policy._wrist) == (0, 2)
    policy.close()


def painted(latents: Tensor, rows: int) -> Tensor:
    """Pictures that show three channels of the latents."""
    return torch.sigmoid(latents.unflatten(3, (3, rows)).transpose(2, 3)[:, :, :, :3])


class Small(nn.Module):
    """A denoiser of one weight: the whole network takes too long on pictures of full size."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.checkpointed, self.texts = False, set[tuple[float, ...]]()

    def forward(self, noisy: Tensor, c_noise: Tensor, condition: Any, distance: Tensor | None) -> Tensor:
        self.texts |= {tuple(row) for row in condition.text.tolist()}
        return self.weight * noisy - 0.1 * condition.slots[:, -1:]

    def checkpoint_activations(self) -> None:
        self.checkpointed = True


@pytest.fixture
def small_world(bundle, monkeypatch) -> Small:
    """Bundles load with a denoiser of one weight."""
    model = CtrlWorldModel(CtrlWorldConfig(unet=CONFIG.unet, vae=CONFIG.vae), bundle.world_model.text)
    model.flow_map.denoiser = model.denoiser = small = Small()
    for stage in (flow_map_stage, heads_stage):
        monkeypatch.setattr(stage, "load_world_model", lambda path: model)
    return small


def test_distilling_reads_footage_trains_and_leaves_a_bundle(small_world: Small, world: Path, tmp_path: Path, capsys):
    data = write_real(tmp_path / "data")
    words = [
        "flow-map",
        "--bundle",
        world,
        "--data",
        data,
        "--out",
        tmp_path / "out",
        "--steps",
        3,
        "--batch",
        3,
        "--rate",
        0.01,
    ]
    arguments = [str(word) for word in [*words, "--device", "cpu", "--threads", 1]]
    assert cli.main(arguments) == 0
    assert small_world.weight.item() != 0.5
    assert small_world.checkpointed
    assert len(small_world.texts) == 1  # all of this footage has one instruction
    report = json.loads((tmp_path / "out" / "ctrl-world-flow-map.json").read_text())
    assert set(report["held_out"]) == {"clips", "1 step(s)", "4 step(s)"}
    made = read_config(tmp_path / "out" / "bundle")
    assert made.uncertainty is None
    assert made.made_from["second_time"] == "trained"
    assert changed_files(tmp_path / "out" / "bundle", made) == []
    with pytest.raises(BundleError, match="lacks: uncertainty, value"):
        load_bundle(tmp_path / "out" / "bundle")
    assert cli.main(arguments) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch", "0"], "--batch must be at least 1, got 0"),
        (["--rate", "-1"], "--rate must be positive"),
        (["--steps", "-1"], "--steps must be at least 0"),
        (["--out", "/dev/null/out"], "--out /dev/null/out cannot be written"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_loaded(tmp_path: Path, capsys, words, message: str):
    always = ["flow-map", "--bundle", "nowhere", "--data", "nowhere", "--out", str(tmp_path), "--device", "cpu"]
    assert cli.main([*always, *words]) == 1
    assert f"vidplan distill: {message}" in capsys.readouterr().err


def test_heads_are_trained_and_make_a_bundle_that_plans(small_world: Small, world: Path, tmp_path: Path, monkeypatch):
    narrow = {"widths": (8, 16, 16), "embedding": 16, "latent_channels": 4, "latent_size": (24, 40), "horizon": 4}
    sizes = {
        "uncertainty": HeadConfig(bins=30, highest=10.0, **narrow),
        "value": HeadConfig(bins=20, highest=1.0, **narrow),
    }
    monkeypatch.setattr(heads_stage, "fresh_heads", lambda model, cameras: fresh_heads(model, cameras, **sizes))
    monkeypatch.setattr(VideoAutoencoder, "decode_pixels", lambda self, latents, views: painted(latents, 24))
    data = write_real(tmp_path / "data")
    words = ["heads", "--bundle", world, "--data", data, "--out", tmp_path / "out", "--steps", 2, "--batch", 2]
    assert cli.main([str(word) for word in [*words, "--device", "cpu", "--threads", 1]]) == 0
    report = json.loads((tmp_path / "out" / "ctrl-world-heads.json").read_text())
    assert 0 < report["held_out"]["value"] < 10
    assert small_world.weight.item() == 0.5
    made = read_config(tmp_path / "out" / "bundle")
    assert (made.uncertainty, made.value) == (sizes["uncertainty"], sizes["value"])
    assert changed_files(tmp_path / "out" / "bundle", made) == []
    assert isinstance(load_bundle(tmp_path / "out" / "bundle").world_model, CtrlWorldModel)


def test_returns_count_from_the_end_of_the_episode(tmp_path: Path):
    footage = Footage(write_real(tmp_path), "train", (-12, -9, -6, -3, 0), 4)
    last = footage.episodes.spans[1][0] + footage.episodes.spans[1][1] - 1
    returns = footage.returns(np.array([last - 4, last - 7]), 4, 0.5)
    assert returns.tolist() == [[0.125, 0.25, 0.5, 1.0], [0.5**6, 0.5**5, 0.5**4, 0.5**3]]
    assert footage.phrases_of(np.array([last])) == ["put the carrot in the bowl"]
