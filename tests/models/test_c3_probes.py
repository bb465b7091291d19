from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from models.errors import ModelsError
from models.heatmap import Heatmap
from models.interfaces import Imagined
from models.uncertainty.c3 import Featured, FeaturedVideoModel, Probe, ProbeConfig, make_probe
from models.uncertainty.c3.probe import LOWEST, draw_eps
from models.uncertainty.c3.scores import BINARY, MULTI

VARIANTS = ("fixed", "multi", "continuous")
SIZES = ProbeConfig("fixed", features=16, width=16, embedding=16, scale=2.0, eps=0.3)


def fresh(variant: str, score: str = "bce", **changes) -> Probe:
    torch.manual_seed(0)
    probe = make_probe(dataclasses.replace(SIZES, variant=variant, score=score, **changes))
    for parameter in probe.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return probe


@pytest.fixture
def featured(bundle, scene) -> Featured:
    return FeaturedVideoModel.of(bundle).imagine(*scene, generator=torch.Generator().manual_seed(0))


def test_features_come_with_the_same_video(bundle, scene, featured: Featured):
    plain = bundle.world_model.imagine(*scene, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain.latents, featured.latents)
    assert featured.features.shape == (2, 16, 18, 10)
    assert featured.poses.shape == (2, 7, 19)
    assert featured.start.tolist() == [0.0, 0.0]
    twice = FeaturedVideoModel.of(bundle).imagine(*scene, steps=4, generator=torch.Generator().manual_seed(0))
    assert twice.start.tolist() == [0.75, 0.75]
    assert not torch.equal(twice.features, featured.features)


def test_features_are_those_under_the_last_layer(bundle, scene):
    model = FeaturedVideoModel.of(copy.deepcopy(bundle))
    for weight in model.denoiser.gates.parameters():  # without what the gates pass on, this is all its answer
        torch.nn.init.zeros_(weight)
    noise = torch.randn(2, 5, 48, 18, 10, generator=torch.Generator().manual_seed(1))
    imagined = model.imagine(*scene, noise=noise)
    raw = model.denoiser.output(imagined.features)
    velocity = (model.to_changes(imagined.latents, scene[0]) - noise).flatten(1, 2)
    assert torch.corrcoef(torch.stack([raw.flatten(), (velocity + noise.flatten(1, 2)).flatten()]))[0, 1] > 0.99


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_judges_like_the_head(bundle, featured: Featured, variant: str):
    probe = fresh(variant)
    judged = probe(featured)
    assert judged.h.shape == judged.expected_error.shape == judged.entropy.shape == (2, 5, 3, 6, 10)
    assert judged.h.min() >= 0
    assert judged.h.max() <= 1
    assert judged.h.std() > 0
    assert judged.expected_error.min() >= 0
    assert judged.expected_error.max() <= probe.config.scale
    assert judged.entropy.min() >= 0
    confidence = probe.confidence(featured, 0.3)
    assert confidence.shape == (2, 5, 3, 48, 6, 10)
    assert torch.allclose(judged.h, 1 - confidence.mean(3), atol=1e-6)
    other = probe(featured.rows(torch.tensor([1])))
    assert torch.allclose(other.h, judged.h[1:], atol=1e-5)
    assert not torch.allclose(judged.h[0], judged.h[1], atol=1e-4)
    spec = bundle.config
    frames = bundle.world_model.decode(featured.latents)
    painted = Heatmap(bundle.world_model, len(spec.views), spec.image_size).over(frames, judged.h)
    assert painted.shape == frames.shape
    assert painted.dtype == torch.uint8


def test_scales(featured: Featured):
    multi, continuous, fixed = (fresh(variant) for variant in ("multi", "continuous", "fixed"))
    with torch.no_grad():
        rising = torch.stack([multi.confidence(featured, eps) for eps in (0.01, 0.05, 0.1, 0.35, 0.9, 1.0)])
        assert (rising.diff(dim=0) > 0).all()
        assert torch.allclose(rising[-1], torch.ones(()), atol=1e-6)
        assert torch.allclose(rising[1], rising[2] / 2)  # linear inside the first class
        fine, coarse = continuous.confidence(featured, 0.01), continuous.confidence(featured, 0.02)
        assert not torch.allclose(fine, coarse, atol=1e-5)
    for eps in (0.0, 0.001, 1.5):
        with pytest.raises(ModelsError, match="eps must be in"):
            continuous.confidence(featured, eps)
    with pytest.raises(ModelsError, match=r"trained for eps = 0\.3"):
        fixed.confidence(featured, 0.5)


def test_eps_to_train_with_covers_the_range():
    eps = draw_eps(4000, torch.Generator().manual_seed(0))
    assert eps.min() >= LOWEST
    assert eps.max() <= 1
    assert 0.15 < (eps < 0.05).float().mean() < 0.25
    assert 0.25 < (eps > 0.5).float().mean() < 0.40


def small(generator: torch.Generator) -> Featured:
    """Two clips of three views of one row and two columns, with different features."""

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=generator)

    frames = draw(2, 8, 3, 2), draw(2, 7), draw(5, 7)
    return Featured(draw(5, 8, 3, 2), *frames, draw(16, 3, 2), draw(7, 19), torch.zeros(2))


@pytest.mark.parametrize(
    ("variant", "score"), [("fixed", "bce"), ("multi", "brier"), ("continuous", "bce"), ("continuous", "brier")]
)
def test_a_probe_learns_true_frequencies(variant: str, score: str):
    generator = torch.Generator().manual_seed(0)
    imagined = small(generator)
    probe = fresh(variant, score, latent_channels=8, rows=3, columns=2)
    optimiser = torch.optim.Adam(probe.parameters(), 1e-2)
    widest = torch.tensor([0.8, 1.6]).view(2, 1, 1, 1, 1)
    for _ in range(150):
        error = widest * torch.rand(imagined.latents.shape, generator=generator)
        loss = probe.loss(imagined, imagined.latents + error, draw_eps(2, generator))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():  # errors of the first clip are even over [0, 0.4] of the scale, of the second over [0, 0.8]
        means = probe.confidence(imagined, 0.3).mean(dim=(1, 2, 3, 4, 5))
        expected = probe(imagined).expected_error.mean(dim=(1, 2, 3, 4))
    assert means.tolist() == pytest.approx([0.75, 0.375], abs=0.08)
    assert expected[0] < expected[1]
    if variant != "fixed":  # one threshold tells little of the mean
        assert expected.tolist() == pytest.approx([0.4, 0.8], abs=0.12)


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_gradient_of_a_detached_probe_reaches_the_video_model(bundle, scene, variant: str):
    model, probe = FeaturedVideoModel.of(bundle), fresh(variant)
    weight = model.denoiser.input.weight.requires_grad_(True)
    try:
        imagined = model.imagine(*scene, generator=torch.Generator().manual_seed(0))
        assert imagined.features.requires_grad
        probe.loss(imagined, torch.zeros_like(imagined.latents), torch.tensor([0.1, 0.5])).backward()
        assert weight.grad is None
        assert all(parameter.grad is not None for parameter in probe.parameters())
    finally:
        weight.requires_grad_(False)


def test_end_to_end_gradients_reach_the_video_model(bundle, scene):
    model, probe = FeaturedVideoModel.of(bundle), fresh("continuous")
    weight = model.denoiser.input.weight.requires_grad_(True)
    try:
        imagined = model.imagine(*scene, generator=torch.Generator().manual_seed(0))
        loss = probe.loss(imagined, torch.zeros_like(imagined.latents), torch.tensor([0.1, 0.5]), detached=False)
        (gradient,) = torch.autograd.grad(loss, weight)
        assert gradient.abs().max() > 0
    finally:
        weight.requires_grad_(False)


@pytest.mark.parametrize("name", ["bce", "brier"])
def test_scores_are_proper(name: str):
    happened = (torch.rand(40_000, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    said = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]).logit()
    losses = [BINARY[name](logit.expand_as(happened), happened).item() for logit in said]
    assert losses.index(min(losses)) == 2
    two = [
        MULTI[name](torch.stack([torch.zeros(()), logit]).view(1, 2).expand(len(happened), 2), happened.long()).item()
        for logit in said
    ]
    assert two == pytest.approx([loss * (2 if name == "brier" else 1) for loss in losses], rel=1e-5)


def test_refusals(featured: Featured):
    plain = Imagined(featured.latents, featured.history, featured.history_poses, featured.actions)
    with pytest.raises(ModelsError, match="imagine with FeaturedVideoModel"):
        fresh("fixed")(plain)
    for wrong in ({"variant": "binary"}, {"score": "mse"}, {"eps": 0.0}):
        with pytest.raises(ModelsError):
            make_probe(dataclasses.replace(SIZES, **wrong))
