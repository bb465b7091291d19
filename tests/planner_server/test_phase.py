"""How far a task is, and what the planner makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planner_fakes import START, ToyBundle, ToyContext, picture, request, toy_planner
from torch import Tensor

from plan_protocol.messages import Observation, Plan
from planner_server.config import PlannerConfig
from planner_server.instruction import Task
from planner_server.phase import DELIVERED, Phase, phase_of
from robot_model.conventions import DROID_RESET_JOINTS

TASK = Task("carrot", "bowl")


@pytest.mark.parametrize(
    ("fingers", "apart", "phase"),
    [
        ((0.0, 0.0), 0.3, Phase.FETCH),
        ((0.6, 0.6), 0.3, Phase.CARRY),
        ((0.6, 0.6), 0.0, Phase.CARRY),  # what is held over the bowl is not in it yet
        ((0.0, 0.0), 0.03, Phase.DELIVERED),
        ((0.6, 0.2), 0.03, Phase.DELIVERED),
        ((0.0, 0.0), DELIVERED, Phase.FETCH),
        ((0.0, 0.0), np.inf, Phase.FETCH),
    ],
)
def test_fingers_and_cameras_tell_how_far_a_task_is(fingers: tuple[float, ...], apart: float, phase: Phase) -> None:
    assert phase_of(np.array(fingers), apart) is phase
    assert phase.phrase(TASK) == ("carrot" if phase is Phase.FETCH else "bowl")


class Bowl:
    """Red is the carrot, and the bowl is as many cells beside it."""

    def __init__(self, beside: int) -> None:
        self.beside = beside
        self.asked: set[str] = set()

    def relevance(self, latents: Tensor, phrase: str) -> Tensor:
        self.asked.add(phrase)
        red = latents[:, :, 0].unflatten(2, (3, -1))
        return red if phrase == "carrot" else torch.roll(red, self.beside, -1)


def plan(semantic: Bowl, instruction: str = "put the carrot in the bowl") -> Plan:
    half_closed = np.stack([START, START])
    half_closed[:, 6] = 0.08  # open to `fingers`, and a toggle closes them
    observation = Observation(picture(2, ((40, 30, 255, 0),)), np.array([9.8, 10.0]), half_closed, DROID_RESET_JOINTS)
    wanted = request(instruction=instruction, observation=observation)
    return toy_planner(PlannerConfig(iterations=0), ToyBundle(semantic=semantic)).plan(wanted, ToyContext())


def test_what_lies_in_its_goal_is_left_there() -> None:
    assert np.all(plan(Bowl(beside=0)).poses[:, 6] == 0)
    assert {c.poses[-1, 6] for c in plan(Bowl(beside=0)).candidates} == {0.0}
    assert {c.poses[-1, 6] for c in plan(Bowl(beside=8)).candidates} == {0.0, 1.0}


def test_a_task_without_a_goal_looks_for_none() -> None:
    semantic = Bowl(beside=0)
    assert {c.poses[-1, 6] for c in plan(semantic, "pick up the carrot").candidates} == {0.0, 1.0}
    assert semantic.asked == {"carrot"}
