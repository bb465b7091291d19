from __future__ import annotations

import pytest

from planner_server.instruction import Task, understand


@pytest.mark.parametrize(
    ("instruction", "task"),
    [
        ("put the carrot in the bowl", Task("carrot", "bowl")),
        ("Place a  fish into the blue bowl.", Task("fish", "blue bowl")),
        ("please move the red cube to the plate", Task("red cube", "plate")),
        ("pick up the pea and put it in the bowl", Task("pea", "bowl")),
        ("put the pea on top of the towel", Task("pea", "towel")),
        ("Pick up the measuring tape.", Task("measuring tape")),
        ("pick the fish up", Task("fish")),
        ("fold the towel", Task("towel")),
        ("Dance with the robot!", Task("dance with the robot")),
    ],
)
def test_objects_of_an_instruction(instruction: str, task: Task) -> None:
    assert understand(instruction) == task
