"""Our denoiser against an independent one: diffusers' own U-Net, called the documented way."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

from ctrl_world_files import alive, reduced_config, stock_unet
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel

from models.ctrl_world.conditioning import ConditionNoise
from models.ctrl_world.config import CtrlWorldConfig
from models.ctrl_world.video_model import CtrlWorldModel
from models.self_distillation import JumpTimes, PsdDraws, psd_loss

CONFIG = reduced_config()


@pytest.fixture(scope="module")
def model() -> CtrlWorldModel:
    torch.set_num_threads(1)
    model = CtrlWorldModel(CONFIG)
    alive(model.denoiser, 0)
    nn.init.zeros_(model.denoiser.second_time.last.weight)
    for name, parameter in model.denoiser.named_parameters():
        if "attn2.to_out" in name:
            parameter.data *= 30  # what the tokens say is loud
    return model.requires_grad_(False)


@pytest.fixture
def scene() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    history = torch.randn(1, 5, 4, 24, 8, generator=generator)
    pose = torch.tensor([0.48, 0.05, 0.35, 3.1, 0.02, -0.8, 0.3])
    poses = pose + 0.05 * torch.randn(1, 9, 7, generator=generator)
    return history, poses[:, :5], poses[:, 5:]


def noise_of(seed: int = 2) -> Tensor:
    return torch.randn(1, 5, 4, 24, 8, generator=torch.Generator().manual_seed(seed))


def reference(
    model: CtrlWorldModel, noisy: Tensor, sigma: float, history: Tensor, path: Tensor, text: Tensor
) -> Tensor:
    """Clean latents by the published recipe, written out; ``path`` is the scaled poses of the eleven frames.

    The stock class repeats one context over the frames. `own_token` hands every frame its own token instead.
    """
    weights = model.denoiser.state_dict()
    unet = stock_unet(CONFIG).eval()
    unet.load_state_dict({name[5:]: value for name, value in weights.items() if name.startswith("unet.")})
    tokens = path
    for i in (0, 2, 4):
        name = f"action_encoder.action_encode.{i}"
        tokens = tokens @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        tokens = tokens * torch.sigmoid(tokens) if i < 4 else tokens
    tokens = tokens + torch.cat([text, text], dim=1)[:, None]

    def own_token(forward: Callable, x: Tensor, encoder_hidden_states: Tensor, **named: Any) -> Any:
        assert encoder_hidden_states.shape == (11, 1, CONFIG.unet.token)
        return forward(x, encoder_hidden_states=tokens[0][:, None], **named)

    blocks = [block for block in unet.modules() if isinstance(block, TransformerSpatioTemporalModel)]
    assert len(blocks) == 10  # 3 levels down, 1 in the middle, 3 levels of 2 up
    for block in blocks:
        block.forward = partial(own_token, block.forward)
    past = torch.stack([history[:, i] for i in (0, 0, 0, 1, 2, 3)], dim=1)
    clip = torch.cat([past, noisy / math.sqrt(sigma**2 + 1)], dim=1)
    still = history[:, 4:5].repeat(1, 11, 1, 1, 1) / 0.18215
    out = unet(
        torch.cat([clip, still], dim=2),
        torch.tensor(0.25 * math.log(sigma)),
        encoder_hidden_states=tokens[:, :1],
        added_time_ids=torch.tensor([[7.0, 127.0, 0.0]]),
    ).sample[:, 6:]
    return noisy / (sigma**2 + 1) - sigma / math.sqrt(sigma**2 + 1) * out


@pytest.mark.parametrize("sigma", [0.5, 700.0])
@torch.no_grad()
def test_denoiser_is_the_published_one(model, scene, sigma):
    history, measured, actions = scene
    text = torch.randn(1, 16, generator=torch.Generator().manual_seed(3))
    noisy = history[:, -1:] + sigma * noise_of()
    condition = model.conditioner(*scene, text)
    ours = CONFIG.edm.denoise(lambda x, c: model.denoiser(x, c, condition), noisy, torch.tensor([sigma]))
    every = torch.cat([measured[:, [0, 0, 0, 1, 2, 3, 4]], actions], dim=1)
    low, high = torch.tensor(CONFIG.pose_lower), torch.tensor(CONFIG.pose_upper)
    path = torch.clamp((every - low) / (high - low) * 2 - 1, -1, 1)
    theirs = reference(model, noisy, sigma, history, path, text)
    assert (ours - theirs).abs().max() < 1e-4
    shuffled = reference(model, noisy, sigma, history, path.flip(1), text)
    assert (ours - shuffled).abs().max() > 1e-3  # the reference can tell frames apart


@torch.no_grad()
def test_a_flow_map_starts_as_its_teacher_and_stays_it_where_s_is_t(model, scene):
    condition, x = model.condition(*scene), noise_of()
    s, t = torch.tensor([0.3]), torch.tensor([0.8])
    teacher = model.flow_map.velocity(x, s, None, condition)
    assert torch.equal(model.flow_map.velocity(x, s, t, condition), teacher)
    nn.init.normal_(model.denoiser.second_time.last.weight, std=0.5)
    try:
        assert torch.equal(model.flow_map.velocity(x, s, s, condition), teacher)
        assert (model.flow_map.velocity(x, s, t, condition) - teacher).abs().max() > 1e-3
    finally:
        nn.init.zeros_(model.denoiser.second_time.last.weight)


@torch.no_grad()
def test_untold_rows_are_deaf_to_actions_and_text(model, scene):
    history, measured, actions = scene
    text, deaf = torch.ones(1, 16), torch.tensor([True])
    one, other = model.conditioner(*scene, text), model.conditioner(history, measured, actions + 0.1, -text)
    c_noise = torch.zeros(1)
    answers = [model.denoiser(noise_of(), c_noise, c.without_actions(deaf)) for c in (one, other)]
    assert torch.equal(*answers)
    assert not torch.equal(model.denoiser(noise_of(), c_noise, one), model.denoiser(noise_of(), c_noise, other))


def test_gradients_reach_the_actions_and_checkpointing_changes_none(model, scene):
    gradients = []
    for checkpointed in (False, True):
        if checkpointed:
            model.denoiser.checkpoint_activations()
        history, measured, actions = scene
        asked = actions.clone().requires_grad_()
        model.imagine(history, measured, asked, noise=noise_of()).latents.square().sum().backward()
        gradients.append(asked.grad)
    model.denoiser.unet.disable_gradient_checkpointing()
    assert (gradients[0].abs().amax((0, 2)) > 0).all()
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_bfloat16_weights_stay_near_and_leave_the_poses_alone(scene):
    exact, rough = CtrlWorldModel(CONFIG), CtrlWorldModel(CONFIG)
    for model in (exact, rough):
        alive(model.denoiser, 0)
    rough.denoiser.set_precision(torch.bfloat16)
    assert rough.denoiser.action_encoder.action_encode[0].weight.dtype == torch.float32
    assert rough.denoiser.second_time.first.weight.dtype == torch.float32
    wanted, got = (model.imagine(*scene, noise=noise_of()).latents for model in (exact, rough))
    assert got.dtype == torch.float32
    assert (got - wanted).square().mean() < 0.02 * wanted.var()


def test_self_distillation_trains_it(scene):
    model = CtrlWorldModel(CONFIG)
    alive(model.denoiser, 0)
    nn.init.zeros_(model.denoiser.second_time.last.weight)
    history, measured, actions = (value.repeat(3, *[1] * (value.ndim - 1)) for value in scene)
    clean = torch.cat([history[:, -1:], history[:, :4]], dim=1)
    generator = torch.Generator().manual_seed(5)
    condition = model.condition(history, measured, actions).noised(ConditionNoise.sample(CONFIG, 3, generator))
    draws = PsdDraws.sample(clean.shape, JumpTimes(), generator)
    flow, distill = psd_loss(model.flow_map, clean, condition, draws)
    (flow + distill).backward()
    assert flow.isfinite()
    assert distill > 0
    for name in ("second_time.last.weight", "unet.conv_in.weight", "action_encoder.action_encode.0.weight"):
        assert model.denoiser.get_parameter(name).grad.abs().max() > 0, name


def test_training_noise_is_the_published_one(model, scene):
    rows = 500
    history, poses, actions = (value.expand(rows, *value.shape[1:]) for value in scene)
    condition = model.condition(torch.full_like(history, 2.0), poses, actions)
    noised = condition.noised(ConditionNoise.sample(CONFIG, rows, torch.Generator().manual_seed(0)))
    assert noised.told.mean().item() == pytest.approx(0.95, abs=0.03)
    # (2 + s n) / sqrt(1 + s^2): E[x^2] = E[(4 + s^2) / (1 + s^2)] = 1 + 3 E[1 / (1 + s^2)]
    s = 0.3 * torch.randn(200_000, generator=torch.Generator().manual_seed(1))
    u = 0.2 * torch.rand(200_000, generator=torch.Generator().manual_seed(2))
    for value, spread in ((noised.slots, s), (noised.current, u)):
        wanted = 1 + 3 / (1 + spread.square())
        assert value.square().mean().item() == pytest.approx(wanted.mean().item(), rel=0.02)
    levels = noised.slots.var(dim=(2, 3, 4))
    assert levels.std() > 0.01  # every slot has its own


@torch.no_grad()
def test_the_whole_network_fits_the_published_latents():
    """1.5 billion parameters on the meta device: eleven frames of 72x40 in, five out."""
    with torch.device("meta"):
        full = CtrlWorldConfig()
        model = CtrlWorldModel(full).to("meta")  # diffusers leaves its mixing factors elsewhere
        history, poses, actions = torch.zeros(2, 5, 4, 72, 40), torch.zeros(2, 5, 7), torch.zeros(2, 4, 7)
        condition = model.conditioner(history, poses, actions, torch.zeros(1, 512))
        out = model.denoiser(torch.zeros(2, 5, 4, 72, 40), torch.zeros(2), condition, torch.zeros(2))
    assert full.frames == condition.poses.shape[1] == 11
    assert out.shape == (2, 5, 4, 72, 40)
