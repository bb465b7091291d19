"""Local planners on objectives whose optimum is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from planner_fakes import LIMITS, START, H
from torch import Tensor

from planner_server import rotations
from planner_server.config import LOCAL_PLANNERS, PlannerConfig
from planner_server.limits import project
from planner_server.local_planners.choose import PATHS, local_planner
from planner_server.local_planners.fingers_and_turns import FingersAndTurns
from planner_server.local_planners.interfaces import Budget, Problem, Refinement, displace
from planner_server.local_planners.none import Unrefined
from robot_model.conventions import pose_distance, pose_to_matrix

CONFIG = PlannerConfig()
SEARCHING = ("gradient", "cem", "mppi")
CHUNK = torch.tensor(np.tile(START, (H, 1)))
GOAL = torch.tensor(START[:3]) + torch.tensor([0.02, 0.03, -0.02])


class Known:
    """An objective whose optimum is known."""

    def __init__(self, of_all: object, off_centre: Tensor | None = None, turn: float | None = None) -> None:
        self._of_all, self._turn = of_all, turn
        self._off_centre = torch.zeros(H) if off_centre is None else off_centre

    def __call__(self, chunks: Tensor, draw: int = 0) -> Tensor:
        return self._of_all(chunks, draw)  # type: ignore[operator]

    def off_centre(self, chunk: Tensor) -> Tensor:
        return self._off_centre

    def turn(self, chunk: Tensor) -> Tensor | None:
        return None if self._turn is None else torch.full((H,), self._turn)


def problem(of_one: object, chunk: Tensor = CHUNK, seed: int = 0) -> Problem:
    """Improve a function of one chunk, whatever the noise."""

    def of_all(chunks: Tensor, draw: int = 0) -> Tensor:
        return torch.stack([of_one(chunk) for chunk in chunks])  # type: ignore[operator]

    return Problem(chunk, torch.tensor(START), Known(of_all), LIMITS, seed)


def climb(of_one: object, chunk: Tensor = CHUNK, config: PlannerConfig = CONFIG) -> Refinement:
    return PATHS[config.local_planner](config).refine(problem(of_one, chunk), Budget(config.iterations))


def nearness(chunk: Tensor) -> Tensor:
    return -(chunk[:, :3] - GOAL).norm(dim=-1).sum()


@pytest.mark.parametrize("name", SEARCHING)
def test_a_known_objective_improves_and_the_result_is_feasible(name: str) -> None:
    result = climb(nearness, config=PlannerConfig(local_planner=name))
    assert result.refined
    assert result.after == pytest.approx(float(nearness(result.chunk)))
    assert result.after > 0.75 * result.before
    assert np.allclose(project(result.chunk.numpy(), START, LIMITS), result.chunk.numpy(), atol=1e-9)


def test_rotation_is_refined_across_the_wrap_of_roll() -> None:
    goal = rotations.multiply(
        rotations.exponential(torch.tensor([0.08, 0.0, 0.05], dtype=torch.float64)),
        rotations.euler_to_quaternion(CHUNK[0, 3:6]),
    )

    # Roll and yaw here; the default turns nothing.
    config = PlannerConfig(turn_axes=(1.0, 1.0, 1.0))

    def aligned(chunk: Tensor) -> Tensor:
        return ((rotations.euler_to_quaternion(chunk[:, 3:6]) * goal).sum(-1) ** 2).sum()

    result = climb(aligned, config=config)
    target = np.array([*START[:3], *rotations.quaternion_to_euler(goal).numpy()])
    _, before = pose_distance(START, target)
    _, after = pose_distance(result.chunk[-1].numpy(), target)
    assert after < 0.5 * before


@pytest.mark.parametrize("name", LOCAL_PLANNERS)
@pytest.mark.parametrize("seed", range(3))
def test_never_worse_than_the_global_winner(seed: int, name: str) -> None:
    """Even on an objective whose gradient leads nowhere."""
    torch.manual_seed(seed)
    waves = 400 * torch.randn(H, 7, dtype=torch.float64)

    def treacherous(chunk: Tensor) -> Tensor:
        return torch.sin(chunk * waves).sum()

    result = climb(treacherous, config=PlannerConfig(local_planner=name))
    assert result.before == pytest.approx(float(treacherous(CHUNK)))
    assert result.after >= result.before
    assert float(treacherous(result.chunk)) == pytest.approx(result.after)


@pytest.mark.parametrize("name", LOCAL_PLANNERS)
def test_the_winner_itself_is_returned_when_nothing_is_better(name: str) -> None:
    result = climb(lambda chunk: -1e3 * (chunk - CHUNK).abs().sum(), config=PlannerConfig(local_planner=name))
    assert not result.refined
    assert torch.equal(result.chunk, CHUNK)
    assert result.before == result.after


def test_only_the_allowed_axes_turn() -> None:
    result = climb(
        lambda chunk: -((chunk[:, 3:6] - chunk.new_tensor([2.9, 0.3, 0.5])) ** 2).sum(),
        config=PlannerConfig(turn_axes=(0.0, 0.0, 1.0)),
    )
    assert result.refined
    turned = pose_to_matrix(result.chunk.numpy()) @ np.linalg.inv(pose_to_matrix(START))
    assert np.allclose(turned[:, 2, :3], [0, 0, 1], atol=1e-9)


def test_a_broken_gradient_moves_nothing() -> None:
    result = climb(lambda chunk: (chunk[:, 0] * float("nan")).nan_to_num(0.0).sum())
    assert not result.refined
    assert torch.isfinite(result.chunk).all()


@pytest.mark.parametrize("name", LOCAL_PLANNERS)
def test_no_iterations_means_no_refinement(name: str) -> None:
    result = climb(nearness, config=PlannerConfig(local_planner=name, iterations=0))
    assert not result.refined
    assert result.before == result.after == pytest.approx(float(nearness(CHUNK)))


def test_stopping_between_iterations() -> None:
    rounds = []

    def stop() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        PATHS["gradient"](CONFIG).refine(problem(nearness), Budget(5, check=stop))


@pytest.mark.parametrize("name", ["cem", "mppi"])
def test_samples_follow_the_seed(name: str) -> None:
    config = PlannerConfig(local_planner=name)
    first, again, other = (
        PATHS[name](config).refine(problem(nearness, seed=seed), Budget(3)).chunk for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["cem", "mppi"])
def test_samples_neither_turn_nor_touch_the_fingers(name: str) -> None:
    result = climb(lambda chunk: chunk[:, 3:].sum() - chunk[:, 0].sum(), config=PlannerConfig(local_planner=name))
    assert torch.allclose(result.chunk[:, 3:], CHUNK[:, 3:], atol=1e-9)


def test_a_budget_of_time_ends_before_a_round_that_would_not_fit() -> None:
    now = [100.0]
    budget, spent = Budget(1000, seconds=1.0, clock=lambda: now[0]), []
    for _ in budget:
        spent.append(budget.spent)
        now[0] += 0.3
    assert spent == pytest.approx([0.0, 0.3, 0.6])


def grip(at: int) -> Tensor:
    """Closing from frame ``at`` on."""
    chunk = CHUNK.clone()
    chunk[at:, 6] = 1.0
    return chunk


def ask(
    of_all: object,
    chunk: Tensor = CHUNK,
    off_centre: Tensor | None = None,
    turn: float | None = None,
    **changes: float,
) -> Refinement:
    settings = {"margin": 0.05, "draws": 3, "reach": 0.04} | changes
    start = torch.tensor(START)
    asked = FingersAndTurns(Unrefined(), **settings)  # type: ignore[arg-type]
    quick = replace(LIMITS, max_gripper_speed=5.0)
    return asked.refine(Problem(chunk, start, Known(of_all, off_centre, turn), quick), Budget(0))


def test_the_fingers_close_at_the_best_frame() -> None:
    result = ask(lambda chunks, draw=0: 1 - (chunks[..., 6] - grip(3)[:, 6]).abs().mean(-1), grip(1))
    assert torch.equal(result.chunk[:, 6], grip(3)[:, 6])
    assert result.after > result.before


def test_the_fingers_close_no_earlier_than_the_tool_is_there() -> None:
    def eager(chunks: Tensor, draw: int = 0) -> Tensor:
        return 1 + chunks[..., 6].mean(-1)

    arriving = torch.tensor([0.3, 0.2, 0.1, 0.03, 0.02])
    assert torch.equal(ask(eager, off_centre=arriving).chunk[:, 6], grip(3)[:, 6])
    assert not ask(eager, off_centre=torch.full((H,), torch.inf)).refined


def test_the_hand_turns_where_that_pays() -> None:
    def turned(chunks: Tensor, draw: int = 0) -> Tensor:
        return 1 + chunks[:, -1, 5] - CHUNK[-1, 5]

    result = ask(turned, turn=0.15)
    assert (result.chunk[:, 5] - CHUNK[:, 5]).numpy() == pytest.approx(np.full(H, 0.15), abs=1e-6)
    assert torch.equal(result.chunk[:, 6], CHUNK[:, 6])
    assert not ask(turned, turn=-0.15).refined
    assert not ask(turned).refined, "any way of holding it is as good"


def test_what_only_one_noise_likes_is_left_alone() -> None:
    def fickle(chunks: Tensor, draw: int = 0) -> Tensor:
        return 1 + (chunks[..., 6].mean(-1) if draw != 2 else 0 * chunks[..., 6].mean(-1))

    assert not ask(fickle).refined
    assert ask(fickle, draws=2).refined


def test_a_gain_within_the_margin_is_left_alone() -> None:
    def slightly(chunks: Tensor, draw: int = 0) -> Tensor:
        return 1 + 0.1 * chunks[..., 6].mean(-1)

    assert not ask(slightly, margin=0.2).refined
    assert ask(slightly).refined


def test_every_name_is_a_local_planner() -> None:
    assert tuple(PATHS) == LOCAL_PLANNERS
    asked = replace(CONFIG, regrip_draws=3)
    assert isinstance(local_planner(asked), FingersAndTurns)
    assert isinstance(local_planner(replace(asked, local_planner="none")), Unrefined)


def test_displacement_agrees_with_scipy() -> None:
    offset = torch.tensor([[0.01, -0.02, 0.03, 0.1, -0.2, 0.3, 0.4]], dtype=torch.float64)
    moved = pose_to_matrix(displace(CHUNK[:1], offset).numpy())[0]
    from scipy.spatial.transform import Rotation

    assert np.allclose(moved[:3, 3], START[:3] + [0.01, -0.02, 0.03])
    expected = Rotation.from_rotvec([0.1, -0.2, 0.3]) * Rotation.from_euler("xyz", START[3:6])
    assert np.allclose(moved[:3, :3], expected.as_matrix(), atol=1e-9)
