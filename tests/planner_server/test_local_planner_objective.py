"""J: what it sums, and which way its gradient may go."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planner_fakes import CAMERAS, SIZE, START, H, ToyBundle, ToyContext, picture, request, toy_planner

from planner_server.centring import centres_of
from planner_server.config import PlannerConfig
from planner_server.objective import LocalObjective
from planner_server.view_geometry import desired_centres

BESIDE = (60, 37, 255, 0)
"""A red square beside the tool, as in `test_planner`: in the left view that is towards +y."""


def objective(images: np.ndarray, **changes: float) -> LocalObjective:
    config, bundle = PlannerConfig(**changes), ToyBundle()  # type: ignore[arg-type]
    judged = toy_planner(config, bundle).judge(request(images), ToyContext())
    return LocalObjective(bundle, judged, config, seed=3)  # type: ignore[arg-type]


def gradient(J: LocalObjective, chunk: torch.Tensor) -> torch.Tensor:
    chunk = chunk.clone().requires_grad_()
    (slope,) = torch.autograd.grad(J(chunk[None]).sum(), chunk)
    return slope


STILL = torch.tensor(np.tile(START, (H, 1)), dtype=torch.float32)


@pytest.mark.parametrize("beyond", [0.0, 0.1])
def test_centres_agree_with_the_ones_the_global_planner_uses(beyond: float) -> None:
    rng = np.random.default_rng(0)
    poses = START + rng.normal(0, 0.1, (4, H, 7))
    expected = desired_centres(CAMERAS, SIZE, poses, beyond)
    assert np.allclose(centres_of(CAMERAS, SIZE, torch.from_numpy(poses), beyond).numpy(), expected, atol=1e-9)


def test_the_semantic_part_pulls_the_tool_to_where_the_object_is_seen() -> None:
    images = picture(0, (BESIDE,))
    pulled = gradient(objective(images), STILL) - gradient(objective(images, approach=0.0), STILL)
    assert (pulled[:, 1] > 0).all()
    assert pulled[:, 6].abs().max() == 0


def test_without_the_semantic_part_j_is_the_weighted_expected_return() -> None:
    bundle, config = ToyBundle(), PlannerConfig(approach=0.0)
    judged = toy_planner(config, bundle).judge(request(picture(0, (BESIDE,))), ToyContext())
    J = LocalObjective(bundle, judged, config, seed=3)  # type: ignore[arg-type]
    chunks = torch.stack([STILL, STILL + 0.01])
    o = judged.scene.imagine(bundle.world_model, chunks, 1)
    assert J(chunks).tolist() == pytest.approx(bundle.value.expected(bundle.value(o, o.latents)).sum(1).tolist())


def test_an_object_that_is_seen_nowhere_pulls_nowhere() -> None:
    nothing = picture()
    assert torch.allclose(gradient(objective(nothing), STILL), gradient(objective(nothing, approach=0.0), STILL))


def test_each_draw_has_its_own_noise_and_the_first_is_the_plans() -> None:
    bundle, config = ToyBundle(), PlannerConfig()
    judged = toy_planner(config, bundle).judge(request(picture(0, (BESIDE,))), ToyContext())
    J = LocalObjective(bundle, judged, config, seed=3)  # type: ignore[arg-type]
    bundle.world_model.noises.clear()
    for draw in (0, 1, 1, 2):
        J(STILL[None], draw)
    plan, first, again, second = bundle.world_model.noises
    assert torch.equal(plan, judged.scene.noise)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, plan)


def test_what_was_imagined_once_is_not_imagined_again() -> None:
    bundle, config = ToyBundle(), PlannerConfig()
    judged = toy_planner(config, bundle).judge(request(picture(0, (BESIDE,))), ToyContext())
    J = LocalObjective(bundle, judged, config, seed=3)  # type: ignore[arg-type]
    other, third = STILL + 0.01, STILL + 0.02
    asked = LocalObjective(bundle, judged, config, seed=3).future(other)  # type: ignore[arg-type]
    J(torch.stack([STILL, other]).requires_grad_())
    J(third[None], draw=1)
    batches = len(bundle.world_model.batches)
    kept = J.future(other + 1e-7)
    assert len(bundle.world_model.batches) == batches
    for name in ("chunk", "latents", "h", "off_centre"):
        assert torch.allclose(getattr(kept, name), getattr(asked, name))
        assert not getattr(kept, name).requires_grad
    assert torch.equal(J.off_centre(other), kept.off_centre)
    J.future(third)  # other noise was imagined, the plan's own was not
    assert len(bundle.world_model.batches) == batches + 1


def test_an_uncertain_frame_counts_less() -> None:
    sure, doubtful = picture(0, (BESIDE,)), picture(0, ((60, 37, 255, 255),))
    assert objective(sure)(STILL[None]) > objective(doubtful)(STILL[None])
    settings = {"doubt": 0.0, "approach": 0.0}
    assert objective(sure, **settings)(STILL[None]).item() == pytest.approx(
        objective(doubtful, **settings)(STILL[None]).item()
    )


def test_refinement_comes_nearer_to_the_object_than_the_winner() -> None:
    images = picture(0, ((50, 37, 255, 0),))
    config = PlannerConfig(progress=0.0)
    refined, unrefined = (
        toy_planner(replace(config, local_planner=name)).plan(request(images), ToyContext())
        for name in ("gradient", "none")
    )
    target = np.array([50 / 80, 37 / 80])
    near = [
        np.linalg.norm(desired_centres(CAMERAS, SIZE, plan.poses)[:, 0] - target, axis=-1).sum()
        for plan in (refined, unrefined)
    ]
    assert refined.refined
    assert near[0] < near[1]
