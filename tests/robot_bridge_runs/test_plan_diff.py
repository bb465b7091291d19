from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robot_bridge.errors import BridgeError
from robot_bridge.replay.plan_diff import Tolerance, compare, in_words, read_result, write_result

TOLERANCE = Tolerance(position=0.002, angle=0.02, gripper=0.1)


@pytest.fixture
def result(tmp_path: Path) -> dict[str, Any]:
    """Three plans at 0, 1 and 2 s, read back from their file."""
    events: list[dict[str, Any]] = [{"event": "started"}]
    for number in range(1, 4):
        poses = np.tile([0.5, 0.1 * number, 0.3, np.pi, 0.0, 0.0, 0.0], (5, 1)).tolist()
        plan = {"event": "plan", "plan": number, "observation_stamp": 99.0 + number, "times": [0.2, 0.4, 0.6, 0.8, 1.0]}
        candidates = [{"name": "-x"}, {"name": "+x"}]
        plan |= {"poses": poses, "accepted": True, "uncertainty": 0.3, "candidates": candidates, "chosen": 1}
        events.append(plan)
    write_result(tmp_path, events, {"bag": "ab", "instruction": "lift", "fast": True, "model": "m1"})
    return read_result(tmp_path)


def test_equal_plans_are_equal(result: dict[str, Any]) -> None:
    found = compare(result, copy.deepcopy(result), TOLERANCE)
    assert (found["differing"], found["first"], found["worst"]) == (0, None, None)
    assert "none differs" in in_words(found)[0]


def test_the_first_and_the_worst_difference_are_named(result: dict[str, Any]) -> None:
    new = copy.deepcopy(result)
    new["plans"][0]["poses"][2][0] += 0.0019
    new["plans"][1]["poses"][4][1] += 0.003
    new["plans"][2]["poses"][1][2] -= 0.05
    new["plans"][2]["chosen"] = "-x"
    found = compare(result, new, TOLERANCE)
    assert found["differing"] == 2, "the first plan moved by less than the tolerance"
    assert (found["first"]["plan"], found["worst"]["plan"]) == (2, 3)
    assert found["first"]["position"] == pytest.approx(0.003)
    assert found["worst"]["excess"] == pytest.approx(25.0)
    first, worst = in_words(found)[1:]
    assert "plan 2 at 1.00 s: 3.0 mm" in first
    assert "chose '-x' instead of '+x'" in worst


def test_a_turn_across_pi_is_measured_as_a_turn(result: dict[str, Any]) -> None:
    new = copy.deepcopy(result)
    new["plans"][1]["poses"][0][3] = -np.pi + 0.01  # roll stands at +pi
    assert compare(result, new, TOLERANCE)["differing"] == 0
    new["plans"][1]["poses"][0][3] = -np.pi + 0.03
    assert compare(result, new, TOLERANCE)["first"]["angle"] == pytest.approx(0.03)
    new["plans"][1]["poses"][0][3] = 0.0
    assert compare(result, new, TOLERANCE)["first"]["angle"] == pytest.approx(np.pi)


def test_gripper_verdict_and_missing_plans_count(result: dict[str, Any]) -> None:
    new = copy.deepcopy(result)
    new["plans"][0]["poses"][4][6] = 0.5
    new["plans"][1]["accepted"] = False
    new["plans"].pop(2)
    found = compare(result, new, TOLERANCE)
    assert [each["plan"] for each in found["differences"]] == [1, 2, 3]
    texts = " ".join(each["text"] for each in found["differences"])
    for words in ("gripper 0.50", "the guard now refuses it", "no such plan any more"):
        assert words in texts
    json.dumps(found, allow_nan=False)
    assert "no such plan before" in compare(new, result, TOLERANCE)["worst"]["text"] + str(
        compare(new, result, TOLERANCE)
    )


@pytest.mark.parametrize(("key", "value"), [("bag", "cd"), ("instruction", "drop"), ("fast", False)])
def test_answers_to_other_questions_are_not_compared(result: dict[str, Any], key: str, value: Any) -> None:
    with pytest.raises(BridgeError, match=r"bag|instruction|--fast"):
        compare(result, {**result, key: value}, TOLERANCE)


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"format": 99, "plans": []}'):
        (tmp_path / "plans.json").write_text(text)
        with pytest.raises(BridgeError, match=r"plans\.json"):
            read_result(tmp_path)
