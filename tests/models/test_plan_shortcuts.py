"""What a plan computes once instead of again and again is what it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from models.layers import Conv2d, Linear


def judge(bundle, scene, actions):
    """Uncertainty and value of the imagined video, and the gradient of both with respect to the actions."""
    actions = actions.clone().requires_grad_()
    history, poses, _ = scene
    imagined = bundle.world_model.imagine(history, poses, actions, generator=torch.Generator().manual_seed(0))
    h = bundle.uncertainty(imagined).h
    value = bundle.value.expected(bundle.value(imagined, bundle.semantic.relevance(imagined.latents, "carrot")))
    (gradient,) = torch.autograd.grad(h.sum() + value.sum(), actions)
    return h, value, gradient


def test_the_heads_take_the_condition_of_the_video_and_judge_it_as_with_their_own(bundle, scene, monkeypatch):
    conditioner = bundle.world_model.conditioner
    described, advect = [], conditioner.advection.forward
    monkeypatch.setattr(conditioner.advection, "forward", lambda *a: described.append(a) or advect(*a))
    together = judge(bundle, scene, scene[2])
    assert len(described) == 1
    monkeypatch.setattr(conditioner, "keep", lambda condition: None)
    alone = judge(bundle, scene, scene[2])
    assert len(described) == 4
    for ours, theirs in zip(together, alone, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)
    assert alone[2].abs().max() > 0


def test_a_kept_condition_is_for_its_own_tensors_and_gradients_alone(bundle, scene):
    model, (history, poses, actions) = bundle.world_model, scene
    with torch.no_grad():
        imagined = model.imagine(history, poses, actions.requires_grad_())
        kept = model.condition(history, poses, imagined.actions)
        assert kept is model.condition(history, poses, imagined.actions)
        assert not torch.equal(model.condition(history, poses, actions + 0.01).features, kept.features)
    wanted = model.condition(history, poses, imagined.actions)
    assert torch.autograd.grad(wanted.features.sum(), actions)[0].abs().max() > 0


def test_videos_of_the_same_actions_have_graphs_of_their_own(bundle, scene):
    history, poses, actions = scene
    actions.requires_grad_()
    videos = [bundle.world_model.imagine(history, poses, actions) for _ in range(2)]
    relevance = torch.zeros(2, 5, 3, 24, 40)
    values = [bundle.value(video, relevance)[..., 0].sum() for video in videos]
    gradients = [torch.autograd.grad(value, actions)[0] for value in values]
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_a_model_that_has_just_imagined_with_gradients_can_be_copied(bundle, scene):
    history, poses, actions = scene
    bundle.world_model.imagine(history, poses, actions.requires_grad_())
    again = copy.deepcopy(bundle.world_model)
    assert torch.equal(again.condition(*scene).features, bundle.world_model.condition(*scene).features)


LAYERS = [
    pytest.param(Conv2d, nn.Conv2d, (6, 4, 3), (2, 6, 5, 5), id="convolution"),
    pytest.param(Linear, nn.Linear, (6, 4), (2, 6), id="linear"),
]


@pytest.mark.parametrize(("ours", "theirs", "size", "shape"), LAYERS)
def test_weights_cast_once_are_those_cast_at_every_call(ours, theirs, size, shape):
    torch.manual_seed(0)
    layer, plain, x = ours(*size).requires_grad_(False), theirs(*size), torch.randn(shape)
    other = copy.deepcopy(plain.state_dict())

    def check(layer, plain):
        with torch.autocast("cpu", torch.bfloat16):
            answer = layer(x)
            assert answer.dtype == torch.bfloat16
            assert torch.equal(answer, plain(x))
        assert torch.equal(layer(x), plain(x)), "in single precision they are used as they are"

    plain.load_state_dict(layer.state_dict())
    check(layer, plain)
    assert layer._weights()[0] is layer.weight
    with torch.autocast("cpu", torch.bfloat16):
        assert layer._weights()[0] is layer._weights()[0]
    for changed in (layer, copy.deepcopy(layer)):  # what was cast is not used for other weights
        changed.load_state_dict(other)
        plain.load_state_dict(other)
        check(changed, plain)
        changed.weight.mul_(2)
        plain.weight.data.mul_(2)
        check(changed, plain)


def test_what_was_cast_in_inference_mode_does_not_stop_gradients():
    layer, x = Linear(6, 4).requires_grad_(False), torch.randn(2, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.inference_mode():
            layer(x)
        layer(x).float().sum().backward()
    assert x.grad.abs().max() > 0


@pytest.mark.parametrize(("ours", "theirs", "size", "shape"), LAYERS)
def test_weights_that_train_get_their_gradients(ours, theirs, size, shape):
    layer = ours(*size)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(shape)).float().square().sum().backward()
    assert layer.weight.grad.abs().max() > 0
