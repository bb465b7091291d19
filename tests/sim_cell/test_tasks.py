"""Table 1's tasks: their scenes, when they are done, and which object counts as the one that was gone for."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robot_model.franka import PANDA
from sim_cell.behaviours import PickNoise, above, grasp, pick
from sim_cell.cell import HOME_JOINTS, Cell
from sim_cell.errors import InvalidTaskError
from sim_cell.first_touch import FirstTouch
from sim_cell.hand import Hand
from sim_cell.live import LiveCell
from sim_cell.objects import BOWL, BOWL_HEIGHT, BOWL_RIM_RADIUS, NAMES
from sim_cell.tasks import ROOM, TASKS, lay, read_request
from sim_cell.truth import Truth


def layout(cell: Cell) -> dict[str, np.ndarray]:
    return {name: cell.position(name) for name in (*cell.visible, BOWL)}


def test_scenes_are_cluttered_and_depend_on_task_and_seed_alone(cell):
    scenes = {}
    for name, task in TASKS.items():
        lay(cell, task, 4)
        assert cell.target == task.target
        assert task.target in cell.visible
        assert {"red cube", "purple cup"} < set(cell.visible)
        assert len(cell.visible) == 5
        scenes[name] = layout(cell)
        cell.step(240)
        for thing, position in layout(cell).items():
            np.testing.assert_allclose(position, scenes[name][thing], atol=2e-3, err_msg=f"{thing} moves by itself")
    lay(cell, TASKS["pea"], 5)
    other = layout(cell)
    for name in reversed(TASKS):
        lay(cell, TASKS[name], 4)
        again = layout(cell)
        assert list(again) == list(scenes[name])
        for thing, position in again.items():
            np.testing.assert_array_equal(position, scenes[name][thing])
    assert np.abs(other[BOWL] - scenes["pea"][BOWL]).max() > 0.01
    assert np.abs(scenes["fish"][BOWL] - scenes["pea"][BOWL]).max() > 0.01


def test_the_first_scene_of_the_carrot_task_is_pinned(cell):
    """Results of trials are only comparable while this holds."""
    lay(cell, TASKS["carrot"], 0)
    assert cell.visible == ("measuring tape", "carrot", "towel", "red cube", "purple cup")
    np.testing.assert_allclose(cell.position("carrot")[:2], (0.4129, -0.1758), atol=2e-3)
    np.testing.assert_allclose(cell.position(BOWL)[:2], (0.6174, 0.1740), atol=2e-3)


def test_in_a_strange_scene_unknown_things_take_the_distractors_place(cell):
    lay(cell, TASKS["carrot"], 0, strange=True)
    assert len(cell.visible) == 3
    assert {"red cube", "purple cup"}.isdisjoint(cell.visible)
    assert len(set(cell.strangers)) == 2
    assert set(cell.strangers).isdisjoint(NAMES)
    target = cell.position("carrot")[:2]
    assert all(np.linalg.norm(cell.position(name)[:2] - target) > ROOM for name in cell.strangers)
    lay(cell, TASKS["carrot"], 0)
    assert cell.strangers == ()


def follow(hand: Hand, touch: FirstTouch, moves) -> None:
    for move in moves:
        hand.move(*move)
        touch.update()


def test_a_grasp_is_told_from_a_push_and_the_first_one_counts(cell):
    lay(cell, TASKS["carrot"], 1)
    hand, touch, rng = Hand(cell), FirstTouch(cell), np.random.default_rng(0)
    hand.start_at_joints(HOME_JOINTS, 0.0)
    follow(hand, touch, grasp(hand, rng, "carrot", PickNoise(0.0, 0.0)))
    assert (touch.name, touch.how) == ("carrot", "grasp")

    lay(cell, TASKS["carrot"], 1)
    touch.start()
    assert (touch.name, touch.how) == (None, None)
    hand.start_at(above(hand, "purple cup", 0.03) + [-0.1, 0.0, 0.0], 0.0, 1.0)
    before = cell.position("purple cup")
    for _ in range(8):
        touch.update()
        if touch.name:
            break
        hand.move(np.array([0.02, 0.0, 0.0]), 0.0, 1.0)
    assert (touch.name, touch.how) == ("purple cup", "push")
    assert 0.01 < np.linalg.norm(cell.position("purple cup") - before) < 0.05
    follow(hand, touch, grasp(hand, rng, "carrot", PickNoise(0.0, 0.0)))
    assert touch.name == "purple cup"


def test_done_means_in_the_bowl_and_let_go(cell):
    task = TASKS["fish"]
    lay(cell, task, 2)
    truth, hand = Truth(cell), Hand(cell)
    hand.start_at_joints(HOME_JOINTS, 0.0)
    seen = []
    for move in pick(hand, np.random.default_rng(0), "fish", PickNoise(0.0, 0.0)):
        hand.move(*move)
        seen.append((cell.gripper(), task.done(truth)))
    assert seen[-1][1]
    assert not any(done for gripper, done in seen if gripper > 0.3)


@pytest.mark.parametrize(("shift", "done"), [(0.0, True), (BOWL_RIM_RADIUS + 0.06, False)])
def test_a_towel_across_the_bowl_is_done_and_one_beside_it_is_not(cell, shift, done):
    lay(cell, TASKS["towel"], 0)
    truth = Truth(cell)
    place = cell.position(BOWL) + [shift, 0.0, BOWL_HEIGHT + 0.04 if done else 0.024]
    cell._place("towel", place, 0.0)
    cell.step(240)
    assert truth.rests_on_bowl("towel") == done
    assert TASKS["towel"].done(truth) == done


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("carrot", "not JSON"),
        ("[]", "not a task and a seed"),
        ('{"task": "carrot"}', "not a task and a seed"),
        ('{"task": "carrot", "seed": 1, "speed": 2}', "not a task and a seed"),
        ('{"task": "banana", "seed": 1}', "banana.*tape, fish, pea, carrot, towel"),
        ('{"task": ["carrot"], "seed": 1}', "no task"),
        ('{"task": "carrot", "seed": -1}', "-1"),
        ('{"task": "carrot", "seed": true}', "True"),
        ('{"task": "carrot", "seed": 1.5}', "1.5"),
    ],
)
def test_requests_that_are_not_understood_say_why(text, wrong):
    with pytest.raises(InvalidTaskError, match=wrong):
        read_request(text)
    assert read_request('{"task": "tape", "seed": 3}') == (TASKS["tape"], 3)


def test_the_state_of_a_task_follows_the_cell(cell):
    live = LiveCell(cell, PANDA, seed=0)
    assert (live.task_state()["task"], live.task_state()["episode"]) == (None, 0)
    live.reset_to_task(TASKS["tape"], 3)
    for _ in range(60):
        live.advance()
    state = json.loads(json.dumps(live.task_state()))
    assert state == {
        "task": "tape",
        "seed": 3,
        "episode": 1,
        "target": "measuring tape",
        "success": False,
        "first_touched": None,
        "touched_by": None,
        "time": 0.5,
    }
    live.reset(0)
    assert (live.task_state()["task"], live.task_state()["episode"], live.task_state()["time"]) == (None, 2, 0.0)
