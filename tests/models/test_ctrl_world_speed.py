"""What makes Ctrl-World fast changes nothing that it computes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

from ctrl_world_files import alive, reduced_config
from diffusers.models.transformers.transformer_temporal import TransformerSpatioTemporalModel

from models import fast
from models.ctrl_world.config import UNetConfig
from models.ctrl_world.frame_memory import FrameMemory
from models.ctrl_world.transformer import OneTokenSpatialBlock, use_one_token
from models.ctrl_world.video_model import CtrlWorldModel
from models.edm import Edm
from models.errors import CompileError
from models.flow_map import FlowMap

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> CtrlWorldModel:
    torch.set_num_threads(1)
    unet = UNetConfig(widths=(32, 32, 32, 32), heads=(1, 1, 1, 1), layers=1, token=32, time_ids=32)
    model = CtrlWorldModel(reduced_config(unet=unet, views=("left",)))
    alive(model, 0)
    return model.requires_grad_(False)


def pictures(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (1, count, 1, 64, 64, 3), dtype=torch.uint8, generator=generator)


def test_attention_to_one_token_is_the_stock_transformers_in_every_clip_of_a_batch() -> None:
    stock: Any = alive(TransformerSpatioTemporalModel(2, 16, 32, cross_attention_dim=24), 0)
    short: Any = alive(TransformerSpatioTemporalModel(2, 16, 32, cross_attention_dim=24), 0)
    use_one_token(short)
    x, tokens = torch.randn(2 * 3, 32, 4, 5), torch.randn(2 * 3, 1, 24)
    clips, answers, gradients = torch.zeros(2, 3), [], []
    for transformer in (stock, short):
        asked = tokens.clone().requires_grad_()
        answer = transformer(x, encoder_hidden_states=asked, image_only_indicator=clips, return_dict=False)[0]
        (gradient,) = torch.autograd.grad(answer.square().sum(), asked)
        answers.append(answer)
        gradients.append(gradient)
    torch.testing.assert_close(*answers, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(*gradients, atol=1e-3, rtol=1e-4)
    assert gradients[0].abs().amax((1, 2)).min() > 0  # every frame's token is heard
    assert [name for name, _ in stock.named_parameters()] == [name for name, _ in short.named_parameters()]


def test_a_frame_is_encoded_once_and_the_oldest_is_forgotten() -> None:
    encoded: list[int] = []

    def encode(images: Tensor) -> Tensor:
        encoded.append(images.shape[1])
        return images.float().mean((3, 4, 5))[..., None, None]

    memory, images = FrameMemory(encode, remembered=3), pictures(4)
    first = memory(images[:, :3], CPU)
    assert torch.equal(memory(images[:, :3].flip(1), CPU), first.flip(1))
    assert encoded == [3]
    newer = memory(images[:, 1:], CPU)
    assert torch.equal(newer[:, :2], first[:, 1:])
    assert encoded == [3, 1]
    memory(images[:, :1], CPU)  # left the memory when the fourth came in
    assert encoded == [3, 1, 1]
    twice = torch.cat([images[:, 3:], images[:, 3:]], dim=1)
    assert memory(twice, CPU).shape == (1, 2, 1, 1, 1)
    assert encoded == [3, 1, 1]


def test_a_model_encodes_what_it_remembers_as_it_did(model: CtrlWorldModel, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(3, seed=5)
    latents = model.encode(images)
    torch.testing.assert_close(latents, model.autoencoder.encode_frames(images))
    monkeypatch.setattr(model.autoencoder.vae, "encode", lambda pixels: pytest.fail("nothing is new here"))
    assert torch.equal(model.encode(images), latents)


def scene(model: CtrlWorldModel, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pose = torch.tensor([0.48, 0.05, 0.35, 3.1, 0.02, -0.8, 0.3])
    poses = pose + 0.05 * torch.randn(1, 9, 7, generator=generator)
    return torch.randn(1, 5, 4, 8, 8, generator=generator), poses[:, :5], poses[:, 5:]


@torch.no_grad()
def test_another_layout_of_the_weights_changes_nothing(model: CtrlWorldModel) -> None:
    told, noise = scene(model), torch.ones(1, 5, 4, 8, 8)
    before = model.imagine(*told, noise=noise).latents
    pixels = model.autoencoder.decode_pixels(before, 1)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    fast.channels_last(model)
    convolution = model.denoiser.unet.conv_in.weight
    assert convolution.is_contiguous(memory_format=torch.channels_last)
    assert not convolution.is_contiguous()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    torch.testing.assert_close(model.imagine(*told, noise=noise).latents, before, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(model.autoencoder.decode_pixels(before, 1), pixels, atol=1e-4, rtol=1e-4)


def test_the_current_frame_gets_noise_of_the_seed(model: CtrlWorldModel) -> None:
    history = torch.zeros(1, 5, 4, 8, 8)
    one, same, other = (model.initial_noise(history, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert one.shape == (1, 1 + model.horizon, 4, 8, 8)
    assert torch.equal(one, same)
    assert not torch.equal(one[:, 0], other[:, 0])


class Bent(nn.Module):
    """A denoiser that is not linear in anything."""

    def forward(self, noisy: Tensor, c_noise: Tensor, condition: Any, distance: Tensor | None) -> Tensor:
        return torch.sin(noisy + condition) * (2 + c_noise[:, None])


def test_gradients_go_through_all_steps_or_the_last() -> None:
    flow, noise = FlowMap(Bent(), Edm()), torch.randn(1, 6, generator=torch.Generator().manual_seed(0))
    action: Any = torch.full((1, 6), 0.3, requires_grad=True)

    def gradient() -> tuple[Tensor, Tensor]:
        end = flow.sample(noise, action, 4)
        return end.detach(), torch.autograd.grad(end.sum(), action)[0]

    end, through_all = gradient()
    flow.last_step_only = True
    same_end, through_last = gradient()
    with torch.no_grad():
        x = noise
        for start in (0.0, 0.25, 0.5):
            x = flow.jump(x, torch.tensor([start]), torch.tensor([start + 0.25]), action)
    last = flow.jump(x, torch.tensor([0.75]), torch.tensor([1.0]), action)
    assert torch.equal(end, same_end)
    torch.testing.assert_close(through_last, torch.autograd.grad(last.sum(), action)[0])
    assert (through_all - through_last).abs().max() > 1e-2
    with torch.no_grad():
        assert not flow.sample(noise, action, 2).requires_grad


def test_networks_are_compiled_in_place_and_a_machine_that_cannot_says_so(
    model: CtrlWorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: asked.append((self, how)))
    monkeypatch.setattr(torch, "compile", lambda function: function)
    fast.compile_networks(model, "graphs", "cpu")
    assert [network for network, _ in asked] == [model.denoiser.unet, model.autoencoder.vae.decoder]
    assert {how["mode"] for _, how in asked} == {"reduce-overhead"}

    def broken(function: Any) -> Any:
        raise RuntimeError("no compiler named g++\nmore")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(CompileError, match=r"no compiler named g\+\+. It needs a C\+\+ compiler"):
        fast.compile_networks(model, "kernels", "cpu")


@torch.no_grad()
def test_a_compiled_block_computes_what_it_did() -> None:
    try:
        fast.check_compiler("cpu")
    except CompileError as error:
        pytest.skip(str(error))
    block: Any = alive(OneTokenSpatialBlock(32, 2, 16, cross_attention_dim=24), 0)
    x, token = torch.randn(6, 24, 32), torch.randn(6, 1, 24)
    before = block(x, token)
    fast.compile_networks(SimpleNamespace(networks=lambda: (block,)), "kernels", "cpu")
    torch.testing.assert_close(block(x, token), before, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_each_network_is_captured_whole_and_computes_what_it_did(
    model: CtrlWorldModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = torch.randn(1, 5, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    poses, noise = torch.full((1, 9, 7), 0.4), torch.ones(1, 5, 4, 8, 8)

    def imagined() -> tuple[Tensor, Tensor]:
        latents = model.imagine(history, poses[:, :5], poses[:, 5:], noise=noise).latents
        return latents, model.autoencoder.decode_pixels(latents, 1)

    before = imagined()
    for (
        network
    ) in model.networks():  # as `Module.compile`, which cannot be undone; without the kernels: those take long
        whole: Any = torch.compile(network._call_impl, backend="eager", dynamic=False, fullgraph=True)
        monkeypatch.setattr(network, "_compiled_call_impl", whole)
    for one, other in zip(imagined(), before, strict=True):
        torch.testing.assert_close(one, other)
