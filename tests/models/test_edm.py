from __future__ import annotations

import math

import torch

from models.edm import Edm, NoiseLevels, diffusion_loss


def test_constants_are_karras_with_unit_data():
    edm, sigma = Edm(), torch.tensor([0.002, 0.5, 3.0, 700.0], dtype=torch.float64)
    assert torch.allclose(edm.c_skip(sigma), 1 / (sigma**2 + 1))
    assert torch.allclose(edm.c_out(sigma), sigma / (sigma**2 + 1).sqrt())
    assert torch.allclose(edm.c_in(sigma), 1 / (sigma**2 + 1).sqrt())
    assert torch.allclose(edm.c_noise(sigma), sigma.log() / 4)
    assert torch.allclose(Edm(output_sign=-1).c_out(sigma), -edm.c_out(sigma))
    # The network's input and target both have unit variance: c_in^2 (1 + sigma^2) = 1, c_out^2 + c_skip^2 sigma^2 = ...
    assert torch.allclose(edm.c_in(sigma) ** 2 * (1 + sigma**2), torch.ones(4, dtype=torch.float64))
    target_variance = ((1 - edm.c_skip(sigma)) ** 2 + edm.c_skip(sigma) ** 2 * sigma**2) / edm.c_out(sigma) ** 2
    assert torch.allclose(target_variance, torch.ones(4, dtype=torch.float64))


def test_the_right_answer_has_no_loss_and_denoises_exactly():
    edm, generator = Edm(), torch.Generator().manual_seed(0)
    clean = torch.randn(4, 3, 5, generator=generator, dtype=torch.float64)
    noise = torch.randn(4, 3, 5, generator=generator, dtype=torch.float64)
    sigma = torch.tensor([0.01, 0.7, 5.0, 80.0], dtype=torch.float64)
    noisy = clean + sigma[:, None, None] * noise

    def oracle(x, c_noise):
        assert torch.allclose(c_noise, sigma.log() / 4)
        assert torch.allclose(x, noisy / (sigma[:, None, None] ** 2 + 1).sqrt())
        skip = (1 / (sigma**2 + 1))[:, None, None]
        return (clean - skip * noisy) / edm.c_out(sigma)[:, None, None]

    loss = diffusion_loss(edm, oracle, clean, noise, sigma)
    assert loss.shape == (4,)
    assert loss.max() < 1e-10  # the network's answer is rounded to single precision
    assert (edm.denoise(oracle, noisy, sigma) - clean).abs().max() < 1e-4


def test_zero_network_has_unit_loss_at_every_noise_level():
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(3, 20000, generator=generator), torch.randn(3, 20000, generator=generator)
    loss = diffusion_loss(Edm(), lambda x, _: torch.zeros_like(x), clean, noise, torch.tensor([0.1, 1.0, 700.0]))
    assert torch.allclose(loss, torch.ones(3), atol=0.05)


def test_noise_levels_hold_pure_noise_and_the_whole_range():
    sigma = NoiseLevels(pure_share=0.25).sample(20000, Edm(), torch.Generator().manual_seed(0))
    assert sigma.min() >= 0.002
    assert sigma.max() == 700
    assert abs((sigma == 700).float().mean().item() - 0.25) < 0.02
    assert math.isclose(sigma[sigma < 700].median().item(), 1.0, rel_tol=0.1)
