"""Ctrl-World's 50-step sampler against a plain Euler loop, and against diffusers' scheduler as it was published."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

from ctrl_world_files import SCHEDULER, reduced_config
from diffusers import EulerDiscreteScheduler
from torch import Tensor, nn

from models.ctrl_world.conditioning import FramewiseConditioner
from models.ctrl_world.sampler import karras_sigmas, sample_euler
from models.ctrl_world.video_model import CtrlWorldModel
from models.errors import ShapeError

CONFIG = reduced_config()


class Listening(nn.Module):
    """A cheap denoiser whose answer depends on its input, the noise level, the frame and the told poses."""

    def forward(self, noisy: Tensor, c_noise: Tensor, condition, distance: Tensor | None) -> Tensor:
        told = (condition.poses[:, 6:, 0] * condition.told[:, None])[:, :, None, None, None]
        return torch.tanh(noisy * 0.7 + c_noise[:, None, None, None, None] + 0.5 * told) - 0.3 * condition.current


@pytest.fixture
def condition():
    generator = torch.Generator().manual_seed(0)
    history, poses = torch.randn(2, 5, 4, 24, 8, generator=generator), torch.rand(2, 9, 7, generator=generator)
    return FramewiseConditioner(CONFIG)(history, poses[:, :5], poses[:, 5:], torch.zeros(1, 0))


def noise_of() -> Tensor:
    return torch.randn(2, 5, 4, 24, 8, generator=torch.Generator().manual_seed(1))


def test_fifty_steps_are_a_plain_euler_loop(condition):
    network, x = Listening(), noise_of() * (700.0**2 + 1) ** 0.5
    levels = [(700 ** (1 / 7) + i / 49 * (0.002 ** (1 / 7) - 700 ** (1 / 7))) ** 7 for i in range(50)] + [0.0]
    for sigma, lower in pairwise(levels):
        raw = network(x / (sigma**2 + 1) ** 0.5, torch.full((2,), sigma).log() / 4, condition, None)
        clean = x / (sigma**2 + 1) - sigma / (sigma**2 + 1) ** 0.5 * raw
        x = x + (x - clean) / sigma * (lower - sigma)
    ours = sample_euler(network, CONFIG.edm, noise_of(), condition, 50)
    assert (ours - x).abs().max() < 1e-4


def test_fifty_guided_steps_are_the_published_pipeline(condition):
    scheduler = EulerDiscreteScheduler.from_config(SCHEDULER)
    scheduler.set_timesteps(50)
    network, deaf = Listening(), condition.without_actions(torch.tensor([True, True]))
    guidance = torch.tensor([1.0, 1.25, 1.5, 1.75, 2.0])[None, :, None, None, None]
    x = noise_of() * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t)
        heard, unheard = (network(scaled, t.expand(2), told, None) for told in (condition, deaf))
        x = scheduler.step(unheard + guidance * (heard - unheard), t, x).prev_sample
    ours = sample_euler(network, CONFIG.edm, noise_of(), condition, 50, CONFIG.guidance)
    assert (ours - x).abs().max() < 1e-4
    unguided = sample_euler(network, CONFIG.edm, noise_of(), condition, 50)
    assert (ours - unguided)[:, 0].abs().max() < 1e-4  # strength 1 at the current frame
    assert (ours - unguided)[:, -1].abs().max() > 1e-2


def test_noise_levels():
    sigmas = karras_sigmas(CONFIG.edm, 50)
    assert len(sigmas) == 51
    assert sigmas[[0, 49, 50]].tolist() == pytest.approx([700.0, 0.002, 0.0])
    assert (sigmas.diff() < 0).all()


@torch.no_grad()
def test_the_model_goes_through_it_and_returns_the_new_frames():
    model = CtrlWorldModel(CONFIG)
    model.flow_map.denoiser = model.denoiser = Listening()
    history, poses = torch.randn(2, 5, 4, 24, 8), torch.rand(2, 9, 7)
    scene = history, poses[:, :5], poses[:, 5:]
    imagined = model.imagine(*scene, steps=3, noise=noise_of(), teacher=True)
    whole = sample_euler(Listening(), CONFIG.edm, noise_of(), model.condition(*scene), 3)
    assert torch.equal(imagined.latents, whole[:, 1:])
    short = model.imagine(*scene, noise=noise_of()[:, 1:]).latents
    assert short.shape == (2, 4, 4, 24, 8)
    assert torch.equal(short, model.imagine(*scene, noise=noise_of()[:, 1:]).latents)
    with pytest.raises(ShapeError, match="need noise for 4 or 5 frames, got 3"):
        model.imagine(*scene, noise=noise_of()[:, :3])
    with pytest.raises(ShapeError, match="imagines 4 new frames, got actions for 5"):
        model.imagine(*scene[:2], poses[:, :5])
    with pytest.raises(ShapeError, match="looks at 5 history frames, got 3"):
        model.imagine(history[:, :3], poses[:, :3], scene[2])
