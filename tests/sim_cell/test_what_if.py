"""Counterfactuals of the simulated cell: exact, and telling chunks apart."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the simulated cell needs the sim extra")

from sim_cell import cli
from sim_cell.errors import SimCellError
from sim_cell.situations import NEAR
from sim_cell.what_if import WhatIf, serve

OFFSETS, H = (-1, 0), 5


@pytest.fixture(scope="module")
def what_if() -> WhatIf:
    return WhatIf(80, 48)


def distance(arrays: dict[str, np.ndarray], goal: str = "grasp_point", of: str = "tool") -> np.ndarray:
    return np.linalg.norm(arrays[of] - arrays[goal], axis=-1)


def straight(start: np.ndarray, step: tuple[float, float, float], gripper: float) -> np.ndarray:
    chunk = np.tile(start, (H, 1))
    chunk[:, :3] += np.arange(1, H + 1)[:, None] * np.array(step)
    chunk[:, 6] = gripper
    return chunk


def test_the_same_chunk_has_the_same_outcome_to_the_bit_and_another_has_not(what_if):
    state = what_if.begin("held", 11, "plain", OFFSETS, H)
    start = state["poses"][-1]
    up, down, dropped = (
        straight(start, (0.0, 0.0, dz), gripper) for dz, gripper in ((0.02, 1.0), (-0.02, 1.0), (0.0, 0.0))
    )
    outcomes = what_if.rollouts(np.stack([up, dropped, down, up]), watch=True)
    for name, rows in outcomes.items():
        np.testing.assert_array_equal(rows[0], rows[3], err_msg=name)
    assert outcomes["images"].shape == (4, H, 3, 24, 40, 3)
    assert outcomes["classes"].shape == (4, H, 3, 24, 40)
    assert (outcomes["images"][0] != outcomes["images"][2]).any()
    # The arm goes where it was told, and takes along what it holds, until it lets go.
    assert np.abs(outcomes["poses"][0, :, :3] - up[:, :3]).max() < 0.004
    rise = outcomes["object"][:, -1, 2] - state["object"][2]
    assert rise[0] == pytest.approx(0.1, abs=0.01)
    assert rise[2] == pytest.approx(-0.1, abs=0.01)
    assert rise[1] < -0.05
    assert outcomes["touched"][[0, 2, 3]].all()
    assert outcomes["lifted"][[0, 3]].all()


def test_a_situation_depends_on_its_arguments_alone(what_if):
    first = what_if.begin("near", 3, "varied", OFFSETS, H)
    what_if.rollouts(first["nominal"][None], watch=False)
    what_if.begin("far", 4, "light", OFFSETS, H)
    again = what_if.begin("near", 3, "varied", OFFSETS, H)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name], err_msg=name)
    assert (first["images"] != what_if.begin("near", 3, "plain", OFFSETS, H)["images"]).any()


@pytest.mark.parametrize("kind", ["far", "near", "held"])
def test_situations_are_what_they_are_called(what_if, kind):
    state = what_if.begin(kind, 5, "plain", OFFSETS, H)
    assert state["images"].shape == (2, 3, 48, 80, 3)
    assert state["classes"].shape == (3, 24, 40)
    assert state["poses"].shape == (2, 7)
    assert state["nominal"].shape == (H, 7)
    assert (distance(state) < NEAR) == (kind != "far")
    assert (0.1 < state["poses"][-1, 6] < 0.95) == (kind == "held")
    outcome = what_if.rollouts(state["nominal"][None], watch=False)
    assert set(outcome) == {"poses", "tool", "object", "grasp_point", "release_point", "touched", "lifted", "success"}
    # The nominal chunk makes for its goal.
    if kind == "held":
        assert distance(outcome, "release_point", "object")[0].min() < distance(state, "release_point", "object")
    else:
        assert distance(outcome)[0].min() < distance(state)


def test_the_history_shows_the_motion_that_led_here(what_if):
    state = what_if.begin("far", 8, "plain", OFFSETS, H)
    assert np.linalg.norm(np.diff(state["poses"][:, :3], axis=0)) > 0.002
    assert (state["images"][0] != state["images"][1]).any()
    assert np.abs(state["joints"] - state["commanded_joints"]).max() < 0.05


def test_requests_are_answered_line_by_line_and_wrong_ones_explained(what_if, tmp_path: Path):
    situation = {"kind": "near", "seed": 3, "look": "plain", "history_offsets": OFFSETS, "horizon": H}
    chunks = tmp_path / "chunks.npz"
    requests = [
        json.dumps({"situation": situation}),
        json.dumps({"situation": {**situation, "kind": "upside down"}}),
        "not JSON",
        json.dumps({"rollouts": {"chunks": str(chunks), "watch": False}}),
    ]
    state = what_if.begin(**situation)
    np.savez(chunks, chunks=state["nominal"][None])
    answers = io.StringIO()
    serve(what_if, tmp_path, io.StringIO("\n".join(requests)), answers)
    begun, unknown, garbled, rolled = (json.loads(line) for line in answers.getvalue().splitlines())
    with np.load(begun["arrays"]) as arrays:
        np.testing.assert_array_equal(arrays["nominal"], state["nominal"])
        assert str(arrays["target"]) == str(state["target"])
    assert "upside down" in unknown["error"]
    assert "far, near, held" in unknown["error"]
    assert "request 2" in garbled["error"]
    with np.load(rolled["arrays"]) as arrays:
        assert arrays["poses"].shape == (1, H, 7)


def test_rollouts_need_a_situation_and_chunks_of_poses(what_if):
    what_if.begin("near", 3, "plain", OFFSETS, H)
    with pytest.raises(SimCellError, match=r"\(K, H, 7\)"):
        what_if.rollouts(np.zeros((H, 7)), watch=False)


def test_the_command_explains_itself(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["what-if", "--help"])
    assert stopped.value.code == 0
    assert "vidplan sim what-if" in capsys.readouterr().out
