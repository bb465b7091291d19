from __future__ import annotations

import numpy as np
import pytest
import torch

from models.bundle import Bundle
from models.evaluation.probes import with_denoiser
from models.evaluation.spread_judges import DROPOUT, ENSEMBLE, Known, spread_contenders
from models.training.config import LoopConfig
from models.training.ensemble_stage import EnsembleStage, bootstrap
from models.training.loop import train
from models.training.workshop import Workshop
from models.uncertainty.baselines import DropoutSpread, EnsembleSpread, SpreadCalibration, SpreadJudge
from models.uncertainty.c3 import FeaturedVideoModel


def quietly(what: str, share: float) -> None:
    """Say nothing."""


def other_weights(bundle: Bundle, strength: float) -> dict[str, torch.Tensor]:
    return {name: value * (1 + strength) for name, value in bundle.world_model.denoiser.state_dict().items()}


def imagined_by(bundle: Bundle, scene) -> torch.Tensor:
    return bundle.world_model.imagine(*scene, steps=0, generator=torch.Generator().manual_seed(0))


def test_calibration_finds_the_frequencies_of_errors_that_grow_with_the_spread():
    generator = torch.Generator().manual_seed(0)
    spread = torch.rand(200_000, generator=generator) + 0.01
    error = spread * torch.rand(200_000, generator=generator)  # even over [0, spread]
    calibration = SpreadCalibration.fit(spread, error, scale=2.0)
    asked = torch.tensor([0.3, 0.6, 0.9])
    said = torch.stack([calibration.confidence(asked, eps) for eps in (0.05, 0.1, 0.2, 0.5)])
    truth = torch.stack([(2 * eps / asked).clamp(max=1) for eps in (0.05, 0.1, 0.2, 0.5)])
    assert torch.allclose(said, truth, atol=0.03)
    assert torch.allclose(calibration.error(asked), asked / 2, atol=0.02)
    beyond = torch.tensor([50.0])
    assert calibration.error(beyond) == pytest.approx(calibration.error(torch.tensor([1.01])).item(), abs=0.02)


def test_members_that_agree_are_sure_and_others_are_not(bundle, scene):
    imagined, model = imagined_by(bundle, scene), FeaturedVideoModel.of(bundle)
    assert not EnsembleSpread([model, model, model])(imagined).std(dim=0).any()
    near = EnsembleSpread([model, with_denoiser(bundle, other_weights(bundle, 0.01))])
    far = EnsembleSpread([model, with_denoiser(bundle, other_weights(bundle, 0.2))])
    spread, error = far(imagined).std(dim=0), far(imagined).std(dim=0) * 0.8
    calibration = SpreadCalibration.fit(spread, error, scale=1.0)
    unsure, sure = (SpreadJudge(members, calibration, 3, 1.0)(imagined) for members in (far, near))
    assert unsure.h.shape == unsure.expected_error.shape == unsure.entropy.shape == (2, 5, 3, 6, 10)
    assert unsure.expected_error.mean() > sure.expected_error.mean()
    assert 0 <= sure.h.min() <= sure.h.mean() < unsure.h.mean() <= 1


def test_dropout_spreads_with_its_rate_and_leaves_the_model_as_it_was(bundle, scene):
    model = FeaturedVideoModel.of(bundle)
    before = imagined_by(bundle, scene).latents
    imagined = imagined_by(bundle, scene)
    little, much = (DropoutSpread(model, rate, samples=3)(imagined) for rate in (0.05, 0.5))
    assert little.shape == (3, 2, 5, 48, 18, 10)
    assert 0 < little.std(dim=0).mean() < much.std(dim=0).mean()
    assert torch.equal(DropoutSpread(model, 0.5, samples=3)(imagined), much)
    assert torch.equal(imagined_by(bundle, scene).latents, before)
    one = type(imagined)(*(getattr(imagined, name)[1:] for name in ("latents", "history", "history_poses", "actions")))
    assert torch.allclose(DropoutSpread(model, 0.5, samples=3)(one), much[:, 1:], atol=1e-4)


def test_gradients_of_a_spread_reach_the_actions(bundle, scene):
    history, poses, actions = scene
    actions = actions.clone().requires_grad_(True)
    imagined = imagined_by(bundle, (history, poses, actions))
    members = [with_denoiser(bundle, other_weights(bundle, strength)) for strength in (0.0, 0.1, 0.2)]
    spread = torch.rand(5000, generator=torch.Generator().manual_seed(0))
    judge = SpreadJudge(EnsembleSpread(members), SpreadCalibration.fit(spread, spread, 1.0), 3, 1.0)
    (gradient,) = torch.autograd.grad(judge(imagined).expected_error.sum(), actions)
    assert gradient.abs().max() > 0


def test_baselines_stand_beside_the_head(bundle, scene):
    imagined = imagined_by(bundle, scene)
    future = imagined.latents + torch.randn(imagined.latents.shape, generator=torch.Generator().manual_seed(1))
    known = Known([imagined], [future])
    found, made = spread_contenders(bundle, [other_weights(bundle, s) for s in (0.0, 0.1)], known, known, quietly)
    assert list(found) == [ENSEMBLE, DROPOUT]
    best = max(made["dropout_spearman_by_rate"].values())
    assert made["dropout_spearman_by_rate"][f"{made['dropout_rate']:g}"] == best
    assert made["members"] == 2
    error = known.errors(3) / bundle.config.uncertainty.highest
    for contender in found.values():
        said = contender.judge.confidences(imagined, (0.1, 0.3))
        assert [one.mean().item() for one in said] == pytest.approx(
            [(error <= eps).float().mean().item() for eps in (0.1, 0.3)], abs=0.02
        )


def test_a_member_goes_on_from_the_flow_map_on_its_own_episodes(workshop: Workshop, tmp_path):
    first, second = (EnsembleStage(workshop, member) for member in (0, 1))
    assert all(
        torch.equal(value, first.model.denoiser.state_dict()[name])
        for name, value in second.model.denoiser.state_dict().items()
    )
    before = first.module.output.weight.clone()
    loop = LoopConfig(batch=2, rate=1e-3, steps=2, threads=1, half=False, device="cpu")
    report = train(first, loop, tmp_path)
    assert not torch.equal(first.module.output.weight, before)
    assert report["held_out"]["relative error"] > 0
    assert report["notes"]["distinct clips"] <= report["notes"]["clips"]
    whole = workshop.clips(workshop.training)
    drawn = bootstrap(whole, np.random.default_rng(0)).starts
    assert set(drawn) <= set(whole.starts)
    counts = [np.sum(drawn == start) for start in set(drawn)]
    assert max(counts) > 1  # with replacement
