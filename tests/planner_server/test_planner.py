"""Algorithm 3 on the toy world of `planner_fakes`, where the right answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planner_fakes import (
    GOAL,
    GRID,
    LIMITS,
    PERIOD,
    SIZE,
    START,
    T,
    ToyBundle,
    ToyContext,
    picture,
    request,
    toy_planner,
)
from planner_fakes import H as HORIZON

from plan_protocol.errors import CancelledError, ProtocolError
from plan_protocol.messages import Plan
from planner_server.config import LOCAL_PLANNERS, PlannerConfig
from planner_server.errors import BadRequestError
from planner_server.judgement import rest_after, shared_by_motion
from planner_server.limits import project
from robot_model.conventions import DROID_RESET_JOINTS, PINCH_OFFSET, pose_distance

# Where the toy cameras see the pinch point at the start; a red square beside it asks for a sideways motion.
TOOL = (40, 37)
RIGHT_OF_TOOL = (60, 37, 255, 0)
GLOBAL_ONLY = PlannerConfig(iterations=0, progress=0.0)
DOUBTFUL = PlannerConfig(iterations=0, progress=0.0, doubt=1.0)


def plan(images: np.ndarray | None = None, config: PlannerConfig | None = None, **changes: object) -> Plan:
    return toy_planner(config).plan(request(images, **changes), ToyContext())


def test_the_arm_goes_where_the_object_is_seen() -> None:
    """The left camera's x is the base's y, the right camera's x is the base's x."""
    for view, axis, x, name in ((0, 1, 60, "+y"), (0, 1, 20, "-y"), (1, 0, 60, "+x"), (1, 0, 20, "-x")):
        answer = plan(picture(view, ((x, 37, 255, 0),)), GLOBAL_ONLY)
        assert answer.candidates[answer.chosen].name == name
        assert np.sign(answer.poses[-1, axis] - START[axis]) == (1 if name[0] == "+" else -1)


def test_the_winner_is_the_arg_max_and_each_candidate_is_explained() -> None:
    answer = plan(picture(0, (RIGHT_OF_TOOL,)))
    rewards = [candidate.reward for candidate in answer.candidates]
    assert answer.chosen == int(np.argmax(rewards))
    assert len(answer.candidates) == 10
    for candidate in answer.candidates:
        assert candidate.poses.shape == (HORIZON, 7)
        assert 0.8 < candidate.relevance <= 1
        assert candidate.weight == pytest.approx(1.0)
        assert 0 <= candidate.uncertainty <= 1
        assert 0 <= candidate.value <= 1
        assert np.allclose(project(candidate.poses, START, LIMITS), candidate.poses, atol=1e-9)


def test_the_local_planner_raises_the_objective_and_says_so() -> None:
    images = picture(0, (RIGHT_OF_TOOL,))
    chosen, answer = plan(images, GLOBAL_ONLY), plan(images)
    assert answer.refined
    assert answer.objective[1] > answer.objective[0]
    before, after = (np.linalg.norm(p.poses[:, :3] - GOAL.numpy(), axis=1).sum() for p in (chosen, answer))
    assert after < before
    assert np.allclose(project(answer.poses, START, LIMITS), answer.poses, atol=1e-9)
    assert not chosen.refined
    assert chosen.objective[0] == chosen.objective[1]
    assert np.array_equal(chosen.poses, chosen.candidates[chosen.chosen].poses)


def test_an_uncertain_object_is_left_for_a_sure_one() -> None:
    """World-model hacking end to end: a bright, doubtful square on the right, a paler sure one on the left."""
    images = picture(0, ((56, 37, 255, 255), (24, 37, 200, 0)))
    naive = plan(images, PlannerConfig(iterations=0, progress=0.0, doubt=1e-6, region=0.9))
    aware = plan(images, DOUBTFUL)
    assert naive.candidates[naive.chosen].name == "+y", "without uncertainty the hack must pay, or this shows nothing"
    assert aware.candidates[aware.chosen].name == "-y"


def test_the_expected_return_decides_between_equally_relevant_chunks() -> None:
    images = picture(0, (RIGHT_OF_TOOL,))
    answer = plan(images, PlannerConfig(iterations=0, progress=20.0, ground=0.0))
    values = [candidate.value for candidate in answer.candidates]
    assert answer.chosen == int(np.argmax(values))
    assert answer.chosen != plan(images, GLOBAL_ONLY).chosen


def test_a_scene_that_cannot_be_trusted_is_explored() -> None:
    answer = plan(picture(None, ((40, 20, 60, 230),)), GLOBAL_ONLY)
    moved = np.linalg.norm(answer.poses[-1, :3] - START[:3])
    assert moved > 0.05
    assert answer.poses[-1, 6] == START[6]


def everywhere(green: int) -> np.ndarray:
    """A red square beside the tool in a picture that is as uncertain as its green."""
    images = picture(0, (RIGHT_OF_TOOL,))
    images[..., 1] = green
    return images


def test_where_every_future_is_uncertain_the_plan_says_so_and_explores() -> None:
    unsure = plan(everywhere(255))
    assert unsure.status == "uncertain"
    assert not unsure.refined
    assert np.linalg.norm(unsure.poses[-1, :3] - START[:3]) > 0.05
    assert unsure.poses[-1, 6] == START[6]
    assert unsure.chosen == int(np.argmax([candidate.reward for candidate in unsure.candidates]))
    assert np.array_equal(unsure.poses, unsure.candidates[unsure.chosen].poses)


def test_the_bound_of_uncertainty_can_be_set() -> None:
    images = everywhere(100)
    assert plan(images).status == "confident"
    assert plan(images, PlannerConfig(unsure=0.3)).status == "uncertain"
    assert plan(everywhere(255), PlannerConfig().without_uncertainty()).status == "confident"


def test_without_uncertainty_a_doubtful_object_draws_like_a_sure_one() -> None:
    doubtful, sure = picture(0, ((60, 37, 255, 255),)), picture(0, (RIGHT_OF_TOOL,))
    blind = PlannerConfig(local_planner="none", doubt=1.0).without_uncertainty()
    seen, alike = plan(doubtful, blind), plan(sure, blind)
    assert [c.reward for c in seen.candidates] == pytest.approx([c.reward for c in alike.candidates])
    assert all(candidate.weight == pytest.approx(1.0) for candidate in seen.candidates)


@pytest.mark.parametrize("name", LOCAL_PLANNERS)
def test_every_local_planner_returns_a_feasible_chunk(name: str) -> None:
    answer = plan(picture(0, (RIGHT_OF_TOOL,)), PlannerConfig(local_planner=name, regrip_draws=2))
    assert answer.objective[1] >= answer.objective[0]
    assert answer.refined == (name != "none")
    assert np.allclose(project(answer.poses, START, LIMITS), answer.poses, atol=1e-6)


def test_the_same_seed_gives_the_same_plan_and_another_seed_may_not() -> None:
    images = picture(0, (RIGHT_OF_TOOL,))
    first, again = plan(images, seed=5), plan(images, seed=5)
    assert np.array_equal(first.poses, again.poses)
    assert first.candidates[0].reward == again.candidates[0].reward


def test_all_candidates_are_imagined_in_one_batch_from_one_noise() -> None:
    bundle = ToyBundle()
    answer = toy_planner(PlannerConfig(regrip_draws=0), bundle).plan(request(), ToyContext())
    assert bundle.world_model.batches[0] == len(answer.candidates)
    assert set(bundle.world_model.batches[1:]) == {1}
    noise = bundle.world_model.noises[0]
    assert all(torch.equal(noise[0], row) for row in noise)
    assert torch.equal(bundle.world_model.noises[1][0], noise[0])
    assert bundle.world_model.instructions == {request().instruction}


@pytest.mark.parametrize("P", [1, 2, 3, 5, 7])
def test_a_committed_prefix_is_frozen_and_imagined_first(P: int) -> None:
    committed = np.tile(START, (P, 1))
    committed[:, 1] += 0.02 * np.arange(1, P + 1)
    bundle = ToyBundle()
    answer = toy_planner(bundle=bundle).plan(request(picture(0, (RIGHT_OF_TOOL,)), committed), ToyContext())
    world = bundle.world_model

    rounds = -(-P // HORIZON)
    assert world.batches[:rounds] == [1] * rounds
    assert world.batches[rounds] == len(answer.candidates)
    assert np.allclose(world.actions[0][0, : min(P, HORIZON)], committed[:HORIZON], atol=1e-6)
    if P < HORIZON:
        assert np.allclose(world.actions[0][0, P:], committed[-1], atol=1e-6)
    history_poses = world.history_poses[rounds][0]
    before = committed[-2] if P > 1 else START
    assert np.allclose(history_poses, np.stack([before, committed[-1]]), atol=1e-6)
    # The toy model writes the value of an action into what it imagines.
    value = world.histories[rounds][0, -1, 2, 0, 0]
    expected = torch.exp(-4 * (torch.tensor(committed[-1, :3], dtype=torch.float32) - GOAL).norm())
    assert value == pytest.approx(float(expected), abs=1e-5)
    assert np.allclose(answer.times, 10.0 + PERIOD * (P + np.arange(1, HORIZON + 1)))
    step = np.linalg.norm(answer.poses[0, :3] - committed[-1, :3])
    assert step <= LIMITS.max_linear_speed * PERIOD + 1e-9


def test_the_previous_plan_is_offered_next_time_until_a_reset() -> None:
    planner, images = toy_planner(), picture(0, (RIGHT_OF_TOOL,))
    first = planner.plan(request(images), ToyContext())
    assert first.proposers["previous"].startswith("skipped")
    assert "previous" not in [candidate.name for candidate in first.candidates]
    second = planner.plan(request(images), ToyContext())
    assert "previous" in [candidate.name for candidate in second.candidates]
    assert "previous" not in [c.name for c in planner.plan(request(images), ToyContext("another arm")).candidates]
    planner.reset("arm")
    assert "previous" not in [c.name for c in planner.plan(request(images), ToyContext()).candidates]


def test_the_refined_plan_carried_on_is_a_candidate_of_the_next() -> None:
    """The warm start: what the local planner found is not lost."""
    planner, images = toy_planner(), picture(0, (RIGHT_OF_TOOL,))
    first = planner.plan(request(images), ToyContext())
    assert first.refined
    second = planner.plan(request(images, committed=first.poses[:2]), ToyContext())
    carried = next(c for c in second.candidates if c.name == "previous")
    assert np.allclose(carried.poses[:3], first.poses[2:], atol=1e-6)


def test_stages_are_announced_and_timed() -> None:
    context = ToyContext()
    answer = toy_planner().plan(request(frames_wanted=True), context)
    stages = ["encode_frames", "propose", "imagine", "score", "refine", "render"]
    assert context.stages == stages
    assert set(answer.timings) == {*stages, "total"}
    assert sum(answer.timings[stage] for stage in stages) <= answer.timings["total"]


@pytest.mark.parametrize("stage", ["encode_frames", "imagine", "refine"])
def test_a_cancelled_plan_ends_at_once(stage: str) -> None:
    context = ToyContext(cancel_at=stage)
    with pytest.raises(CancelledError):
        toy_planner().plan(request(frames_wanted=True), context)
    assert context.stages[-1] == stage


def test_the_imagination_of_the_returned_chunk_can_be_seen() -> None:
    images = picture(0, ((60, 37, 255, 255),))
    answer = plan(images, frames_wanted=True)
    seen = answer.imagination
    assert seen is not None
    assert seen.frames.shape == seen.composites.shape == (HORIZON, 3, *SIZE, 3)
    assert seen.uncertainty.shape == (HORIZON, 3, *GRID)
    assert seen.frames.dtype == seen.composites.dtype == np.uint8
    sure, unsure = seen.composites[0, 1, 5, 5].astype(int), seen.composites[0, 0, 37, 60].astype(int)
    assert sure[2] > sure[0], "blue where sure"
    assert unsure[0] > unsure[2], "red where unsure"
    assert plan(images).imagination is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": np.zeros((T, 3, 96, 160, 3), np.uint8)}, "Resize"),
        ({"images": np.zeros((T, 2, *SIZE, 3), np.uint8)}, "left, right, wrist"),
        ({"instruction": "  "}, "empty"),
    ],
)
def test_requests_that_do_not_fit_are_refused_with_advice(changes: dict, words: str) -> None:
    with pytest.raises(BadRequestError, match=words) as caught:
        plan(**changes)
    assert isinstance(caught.value, ProtocolError)


def test_an_arm_outside_the_pandas_range_is_an_fr3() -> None:
    joints = np.array(DROID_RESET_JOINTS)
    joints[5] = 4.0  # a Panda's sixth joint ends at 3.75
    answer = plan(start_joints=joints)
    stay = next(c for c in answer.candidates if c.name == "stay")
    up = next(c for c in answer.candidates if c.name == "+z")
    _, turned = pose_distance(up.poses[0], stay.poses[0])
    assert turned < 0.02, "clipped to a Panda's range, the joint and with it the hand would turn by 0.25 rad"


def test_fingers_that_met_open_again_whatever_is_proposed() -> None:
    asked = request()
    asked.observation.poses[:, 6] = 0.99
    answer = toy_planner().plan(asked, ToyContext())
    assert all((candidate.poses[1:, 6] == 0.0).all() for candidate in answer.candidates)
    assert (answer.poses[1:, 6] == 0.0).all()


@pytest.mark.parametrize("fingers", [0.6, 0.0])
def test_something_held_is_carried_clear_of_the_table(fingers: float) -> None:
    clearance = START[2] - PINCH_OFFSET[2, 3]  # of the pinch point now
    asked = request()
    asked.observation.poses[:, 6] = fingers
    answer = toy_planner(PlannerConfig(carry_clearance=clearance)).plan(asked, ToyContext())
    low = [candidate.name for candidate in answer.candidates if candidate.poses[-1, 2] < START[2] - 0.01]
    assert low == ([] if fingers else ["-z", "-z close"])
    assert fingers == 0.0 or answer.poses[-1, 2] > START[2] - 0.01


def test_a_chunk_rests_where_it_earned_its_reward() -> None:
    chunk = np.arange(HORIZON * 7, dtype=float).reshape(HORIZON, 7)
    rested = rest_after(chunk, 2)
    assert np.array_equal(rested[:3], chunk[:3])
    assert (rested[3:] == chunk[2]).all()
    assert np.array_equal(rest_after(chunk, HORIZON - 1), chunk)


def test_the_reward_does_not_judge_what_the_fingers_do() -> None:
    there, elsewhere = np.zeros((HORIZON, 7)), np.ones((HORIZON, 7))
    closing = there.copy()
    closing[:, 6] = 1.0
    shared = shared_by_motion(torch.tensor([0.2, 0.6, 0.9]), np.stack([there, closing, elsewhere]))
    assert shared.tolist() == pytest.approx([0.4, 0.4, 0.9])


def test_fingers_that_move_for_nothing_cost_a_little() -> None:
    answer = plan(picture(0, (RIGHT_OF_TOOL,)), PlannerConfig(iterations=0, progress=0.0, regrip_cost=0.05))
    rewards = {candidate.name: candidate.reward for candidate in answer.candidates}
    for name, closing in (("stay", "stay close"), ("+z", "+z close"), ("-z", "-z close")):
        assert rewards[name] - rewards[closing] == pytest.approx(0.05, abs=1e-5)
