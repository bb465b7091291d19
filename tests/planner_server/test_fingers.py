"""What the fingers say of the hand."""

from __future__ import annotations

import numpy as np
import pytest

from planner_server.fingers import closed_on_nothing, held_gripper, holding


def test_holding_means_keeping_the_fingers_closed() -> None:
    assert held_gripper(0.02) == 0.0
    assert held_gripper(0.4) == 1.0


@pytest.mark.parametrize(
    ("fingers", "held"),
    [((0.64, 0.64), True), ((0.0, 0.0), False), ((1.0, 1.0), False), ((0.3, 0.64), False), ((0.02, 0.64, 0.63), True)],
)
def test_fingers_that_rest_between_open_and_closed_hold_something(fingers: tuple[float, ...], held: bool) -> None:
    assert holding(np.array(fingers)) is held


@pytest.mark.parametrize(
    ("fingers", "met"), [((1.0, 1.0), True), ((0.97, 0.99), True), ((0.6, 0.99), False), ((0.6, 0.6), False)]
)
def test_fingers_that_rest_on_each_other_hold_nothing(fingers: tuple[float, ...], met: bool) -> None:
    assert closed_on_nothing(np.array(fingers)) is met
