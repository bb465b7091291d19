"""GradOpt on objectives whose optimum is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planner_fakes import LIMITS, START, H
from torch import Tensor

from planner_server import rotations
from planner_server.config import PlannerConfig
from planner_server.limits import project
from planner_server.local_planner import Refinement, displace, refine
from robot_model.conventions import pose_distance, pose_to_matrix

CONFIG = PlannerConfig()
CHUNK = torch.tensor(np.tile(START, (H, 1)))
GOAL = torch.tensor(START[:3]) + torch.tensor([0.02, 0.03, -0.02])


def climb(objective: object, chunk: Tensor = CHUNK, config: PlannerConfig = CONFIG) -> Refinement:
    return refine(chunk, torch.tensor(START), objective, LIMITS, config, lambda k: None)  # type: ignore[arg-type]


def nearness(chunk: Tensor) -> Tensor:
    return -(chunk[:, :3] - GOAL).norm(dim=-1).sum()


def test_a_known_objective_improves_and_the_result_is_feasible() -> None:
    result = climb(nearness)
    assert result.refined
    assert result.after == pytest.approx(float(nearness(result.chunk)))
    assert result.after > result.before + 0.5 * abs(result.before) * 0.5
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


@pytest.mark.parametrize("seed", range(5))
def test_never_worse_than_the_global_winner(seed: int) -> None:
    """Even on an objective whose gradient leads nowhere."""
    torch.manual_seed(seed)
    waves = 400 * torch.randn(H, 7, dtype=torch.float64)

    def treacherous(chunk: Tensor) -> Tensor:
        return torch.sin(chunk * waves).sum()

    result = climb(treacherous)
    assert result.after >= result.before
    assert float(treacherous(result.chunk)) == pytest.approx(result.after)


def test_the_winner_itself_is_returned_when_nothing_is_better() -> None:
    result = climb(lambda chunk: -1e3 * (chunk - CHUNK).abs().sum())
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


def test_no_iterations_means_no_refinement() -> None:
    assert not climb(nearness, config=PlannerConfig(iterations=0)).refined


def test_stopping_between_iterations() -> None:
    def stop(k: int) -> None:
        if k == 2:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        refine(CHUNK, torch.tensor(START), nearness, LIMITS, CONFIG, stop)


def test_displacement_agrees_with_scipy() -> None:
    offset = torch.tensor([[0.01, -0.02, 0.03, 0.1, -0.2, 0.3, 0.4]], dtype=torch.float64)
    moved = pose_to_matrix(displace(CHUNK[:1], offset).numpy())[0]
    from scipy.spatial.transform import Rotation

    assert np.allclose(moved[:3, 3], START[:3] + [0.01, -0.02, 0.03])
    expected = Rotation.from_rotvec([0.1, -0.2, 0.3]) * Rotation.from_euler("xyz", START[3:6])
    assert np.allclose(moved[:3, :3], expected.as_matrix(), atol=1e-9)
