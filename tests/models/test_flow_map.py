from __future__ import annotations

import math

import torch

from models.edm import Edm
from models.flow_map import FlowMap
from models.self_distillation import JumpTimes, PsdDraws, psd_loss, teacher_velocity

MEAN, SPREAD = 0.7, 0.4


def moments(t):
    """Mean and standard deviation of x_t = t x_1 + (1 - t) x_0 for Gaussian data."""
    return t * MEAN, ((t * SPREAD) ** 2 + (1 - t) ** 2).sqrt()


def exact_jump(x, s, t):
    """X_{s,t} of the exact Gaussian flow: a Gaussian's quantiles move with it."""
    (ms, ds), (mt, dt) = moments(s), moments(t)
    return mt[:, None] + (dt / ds)[:, None] * (x - ms[:, None])


def exact_velocity(x, s, t):
    return (exact_jump(x, s, t) - x) / (t - s)[:, None]


def exact_denoiser(edm):
    """F whose denoiser is the posterior mean of Gaussian data."""

    def network(scaled, c_noise, condition, distance):
        sigma = (c_noise * 4).exp()[:, None]
        x = scaled / edm.c_in(sigma)
        posterior = (MEAN * sigma**2 + SPREAD**2 * x) / (SPREAD**2 + sigma**2)
        return (posterior - edm.c_skip(sigma) * x) / edm.c_out(sigma)

    return network


def times(count=64):
    generator = torch.Generator().manual_seed(1)
    s = torch.rand(count, generator=generator, dtype=torch.float64) * 0.5
    t = s + 0.1 + (0.9 - s) * torch.rand(count, generator=generator, dtype=torch.float64)
    g = 0.05 + 0.9 * torch.rand(count, generator=generator, dtype=torch.float64)
    return s, g * s + (1 - g) * t, t, g


def test_teacher_target_on_the_exact_gaussian_flow_is_exact_for_any_split_point():
    s, u, t, g = times()
    x = torch.randn(64, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = teacher_velocity(exact_velocity, x, s, u, t)
    assert (target - exact_velocity(x, s, t)).square().mean() < 1e-20

    first = exact_velocity(x, s, u)
    second = exact_velocity(x + (u - s)[:, None] * first, u, t)
    swapped = g[:, None] * first + (1 - g[:, None]) * second
    assert (swapped - exact_velocity(x, s, t)).square().mean() > 1e-3  # the test can tell


def test_warp_of_the_exact_diffusion_model_is_the_exact_flow_velocity():
    edm = Edm()
    flow_map = FlowMap(exact_denoiser(edm), edm)
    t = torch.tensor([0.01, 0.2, 0.5, 0.9, 0.99])
    mean, spread = moments(t)
    x = mean[:, None] + spread[:, None] * torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    # d/dt of m_t + d_t z: instantaneous velocity of the probability flow.
    slope = (t * SPREAD**2 - (1 - t)) / spread
    expected = MEAN + slope[:, None] * (x - mean[:, None]) / spread[:, None]
    assert (flow_map.velocity(x, t, None, None) - expected).abs().max() < 2e-3


def test_velocity_is_finite_at_both_ends():
    edm = Edm()
    flow_map = FlowMap(exact_denoiser(edm), edm)
    x = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    velocity = flow_map.velocity(x, torch.tensor([0.0, 1.0]), None, None)
    assert velocity.isfinite().all()
    assert (velocity[0] - (MEAN - x[0])).abs().max() < 5e-3  # from pure noise the flow aims at the data's mean
    assert math.isclose(flow_map.earliest, 1 / 701)


def test_many_diffusion_steps_arrive_at_the_data_distribution():
    edm = Edm()
    flow_map = FlowMap(exact_denoiser(edm), edm)
    noise = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    data = flow_map.sample_diffusion(noise, None, 100)
    assert abs(data.mean().item() - MEAN) < 0.02
    assert abs(data.std().item() - SPREAD) < 0.02


def test_second_time_changes_nothing_at_s_equals_t_even_after_training(bundle, scene):
    model = bundle.world_model
    condition = model.condition(*scene)
    x = torch.randn(2, 5, 48, 18, 10, generator=torch.Generator().manual_seed(0))
    s = torch.tensor([0.1, 0.8])
    plain = model.flow_map.velocity(x, s, None, condition)
    assert torch.equal(model.flow_map.velocity(x, s, s, condition), plain)
    # The random bundle's second-time branch is alive: at t > s it must be felt.
    assert (model.flow_map.velocity(x, s, s + 0.2, condition) - plain).abs().max() > 1e-5


def test_before_fine_tuning_the_second_time_is_not_felt_but_gets_a_gradient(scene):
    from models.bundle import build
    from models.testing import random_bundle_config

    torch.manual_seed(0)
    model = build(random_bundle_config()).world_model
    for name, weight in model.denoiser.named_parameters():  # as after the diffusion training
        if not weight.any() and "second_time" not in name:
            torch.nn.init.normal_(weight, std=0.1)
    condition = model.condition(*scene)
    x, s, t = torch.randn(2, 5, 48, 18, 10), torch.tensor([0.1, 0.3]), torch.tensor([0.9, 1.0])
    jump = model.flow_map.velocity(x, s, t, condition)
    assert torch.equal(jump, model.flow_map.velocity(x, s, None, condition))
    jump.square().mean().backward()
    assert model.denoiser.second_time.last.weight.grad.abs().max() > 0


def test_sampling_honours_seed_generator_and_noise_and_ends_at_data(bundle, scene):
    model = bundle.world_model
    sample = lambda seed: model.imagine(*scene, steps=2, generator=torch.Generator().manual_seed(seed)).latents  # noqa: E731
    assert torch.equal(sample(3), sample(3))
    assert not torch.equal(sample(3), sample(4))
    noise = torch.randn(2, 5, 48, 18, 10, generator=torch.Generator().manual_seed(3))
    assert torch.equal(model.imagine(*scene, steps=2, noise=noise).latents, sample(3))

    ends = []
    original = model.flow_map.velocity
    model.flow_map.velocity = lambda x, s, t, c: ends.append((s[0].item(), t[0].item())) or original(x, s, t, c)
    try:
        model.imagine(*scene, steps=4, noise=noise)
    finally:
        del model.flow_map.velocity
    assert ends == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0)]
    assert ends[-1][1] == 1.0


def test_guidance_of_one_is_none_and_more_leads_away_from_what_ignores_the_actions(bundle, scene, monkeypatch):
    model = bundle.world_model
    monkeypatch.setattr(model, "fast", False)  # bfloat16 rounds a batch of two otherwise than one alone
    noise = model.initial_noise(scene[0], torch.Generator().manual_seed(5))

    def teacher(guidance):
        return model.imagine(*scene, steps=3, noise=noise, teacher=True, guidance=guidance).latents

    plain, twice = teacher(None), teacher((1.0, 2.0))
    torch.testing.assert_close(teacher((1.0, 1.0)), plain, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(twice[:, 0], plain[:, 0], atol=0.2, rtol=0.2)
    assert (twice[:, -1] - plain[:, -1]).abs().mean() > 1e-3


def test_psd_loss_vanishes_on_the_exact_flow_map_and_splits_two_to_one():
    """With an exact map L_distill is 0; L_flow is then the irreducible variance."""

    class Exact(FlowMap):
        def __init__(self):
            super().__init__(None, Edm())
            self.rows = []

        def velocity(self, x, s, t, condition):
            self.rows.append(len(x))
            later = torch.maximum(t, s + 1e-4).clamp(max=1.0)
            s = torch.minimum(s, later - 1e-4)
            return exact_velocity(x.double(), s.double(), later.double())

    class NoCondition:
        def rows(self, rows):
            return self

    exact = Exact()
    clean = MEAN + SPREAD * torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
    draws = PsdDraws.sample(clean.shape, JumpTimes(), torch.Generator().manual_seed(0))
    flow, distill = psd_loss(exact, clean, NoCondition(), draws)
    assert distill < 1e-6
    assert flow > 0.01
    assert exact.rows == [8, 8, 24]  # two teacher evaluations of a third, one of all


def test_distillation_target_carries_no_gradient(bundle, scene):
    model = bundle.world_model
    history, poses, actions = scene
    actions = actions.clone().requires_grad_(True)
    condition = model.condition(history, poses, actions)
    times_ = (torch.tensor([0.0, 0.0]), torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1.0]))
    x = torch.randn(2, 5, 48, 18, 10)
    target = teacher_velocity(lambda x_, s, t: model.flow_map.velocity(x_, s, t, condition), x, *times_)
    assert not target.requires_grad


def test_jump_times_are_ordered_and_reach_the_ends():
    s, u, t = JumpTimes().sample(5000, torch.Generator().manual_seed(0))
    assert (s >= 0).all()
    assert (s < u).all()
    assert (u < t).all()
    assert (t <= 1).all()
    assert ((s == 0) & (t == 1)).float().mean() > 0.15
