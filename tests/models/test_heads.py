from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch

from models.bins import bin_centres, bin_index
from models.interfaces import Imagined
from models.value import discounted_return


def imagine(bundle, scene) -> Imagined:
    return bundle.world_model.imagine(*scene, generator=torch.Generator().manual_seed(0))


def test_bins_cover_the_range_and_clip():
    assert bin_centres(4, 2.0).tolist() == [0.25, 0.75, 1.25, 1.75]
    assert bin_index(torch.tensor([0.0, 0.49, 0.51, 1.99, 2.0, 99.0]), 4, 2.0).tolist() == [0, 0, 1, 3, 3, 3]


def test_uncertainty_is_normalised_and_agrees_with_its_bins(bundle, scene):
    imagined = imagine(bundle, scene)
    judged = bundle.uncertainty(imagined)
    assert judged.h.shape == judged.expected_error.shape == judged.entropy.shape == (2, 5, 3, 6, 10)
    assert judged.h.min() >= 0
    assert judged.h.max() <= 1
    logs = bundle.uncertainty.log_probabilities(imagined)
    assert logs.shape == (2, 5, 3, 48, 30, 6, 10)
    entropy = -(logs.exp() * logs).sum(4).mean(3)
    assert torch.allclose(judged.entropy, entropy, atol=1e-5)
    assert torch.allclose(judged.h, entropy / math.log(30), atol=1e-5)
    centres = bin_centres(30, bundle.config.uncertainty.highest).reshape(-1, 1, 1)
    assert torch.allclose(judged.expected_error, (logs.exp() * centres).sum(4).mean(3), atol=1e-5)


def test_uncertainty_takes_the_gradients_of_its_bins(bundle, scene):
    imagined = imagine(bundle, scene)
    slopes = []
    for entropy in (
        lambda found: bundle.uncertainty(found).entropy,
        lambda found: -((logs := bundle.uncertainty.log_probabilities(found)).exp() * logs).sum(4).mean(3),
    ):
        latents = imagined.latents.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(entropy(dataclasses.replace(imagined, latents=latents)).sum(), latents)
        slopes.append(slope)
    assert slopes[0].abs().max() > 0
    assert torch.allclose(*slopes, atol=1e-5)


def test_training_the_heads_leaves_the_video_model_bit_identical(bundle, scene):
    model, uncertainty, value = (copy.deepcopy(m) for m in (bundle.world_model, bundle.uncertainty, bundle.value))
    for module in (model, uncertainty, value):
        module.requires_grad_(True)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    heads = torch.optim.AdamW([*uncertainty.parameters(), *value.parameters()], 1e-2)
    everything = torch.optim.SGD(model.parameters(), 1.0)
    history, poses, actions = scene
    losses = []
    for _ in range(3):
        imagined = model.imagine(history, poses, actions, generator=torch.Generator().manual_seed(0))
        relevance = bundle.semantic.relevance(imagined.latents, "carrot")
        loss = uncertainty.loss(imagined, torch.zeros_like(imagined.latents)) + value.loss(
            imagined, relevance, torch.full((2, 5), 0.5)
        )
        loss.backward()
        assert all(parameter.grad is None for parameter in model.parameters())
        heads.step()
        everything.step()
        heads.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_value_is_a_distribution_over_returns_and_sees_the_relevance(bundle, scene):
    imagined = imagine(bundle, scene)
    relevance = torch.zeros(2, 5, 3, 24, 40)
    probabilities = bundle.value(imagined, relevance)
    assert probabilities.shape == (2, 5, 20)
    assert torch.allclose(probabilities.sum(-1), torch.ones(2, 5), atol=1e-5)
    expected = bundle.value.expected(probabilities)
    assert (expected > 0).all()
    assert (expected < 1).all()
    relevance[:, :, 0, 10:14, 20:24] = 1
    assert not torch.equal(bundle.value(imagined, relevance), probabilities)


def test_returns_are_discounted_to_the_end_and_never_exceed_one():
    returns = discounted_return(torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.0, 10.0, 3.0]), 0.9)
    assert returns.tolist() == pytest.approx([1.0, 0.9**10, 0.0])


def test_relevance_depends_on_the_phrase_and_takes_gradients(bundle, scene):
    latents = imagine(bundle, scene).latents.requires_grad_(True)
    carrot = bundle.semantic.relevance(latents, "the carrot")
    assert carrot.shape == (2, 5, 3, 24, 40)
    assert torch.equal(carrot, bundle.semantic.relevance(latents, "Carrot"))  # articles and case do not matter
    assert not torch.equal(carrot, bundle.semantic.relevance(latents, "pea"))
    assert torch.allclose(carrot, bundle.semantic.logits(latents, ["pea", "carrot"])[:, 1].sigmoid(), atol=1e-5)
    carrot.mean().backward()
    assert latents.grad.abs().max() > 0
    bundle.semantic.relevance(latents.detach(), "")  # an empty phrase is a phrase
