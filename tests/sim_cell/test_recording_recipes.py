"""Which objects and behaviours a recording holds, and that the default one stays what it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sim_cell import cli
from sim_cell.dataset import Dataset
from sim_cell.episode import record
from sim_cell.errors import DatasetMismatchError, SimCellError
from sim_cell.recipe import Recipe

DEMONSTRATIONS = Recipe(objects=("carrot", "towel"), count=(2, 2), behaviour="pick", successes=True)


@pytest.mark.parametrize(
    ("look", "index", "visible", "carrot", "bowl"),
    [
        ("varied", 9, ("fish", "pea", "carrot", "towel", "red cube"), (0.5449, 0.1022), (0.4270, -0.1648)),
        ("stranger", 9, ("carrot", "red cube", "purple cup"), (0.5220, -0.0074), (0.5660, -0.2296)),
    ],
)
def test_default_recordings_are_pinned(cell, look, index, visible, carrot, bowl):
    episode = record(cell, seed=7, index=index, look=look, longest=1)
    assert cell.visible == visible
    assert episode.object_positions[0, 3, :2] == pytest.approx(carrot, abs=1e-4)
    assert episode.object_positions[0, 7, :2] == pytest.approx(bowl, abs=1e-4)
    assert Recipe().describe() == {}, "annotations of default recordings must not change"


def test_demonstrations_show_only_what_was_asked_for(cell):
    for index, target in enumerate(("carrot", "towel", "carrot")):
        recipe = Recipe(objects=("carrot", "towel"), count=(2, 2), behaviour="pick")
        episode = record(cell, seed=3, index=index, longest=2, recipe=recipe)
        assert (episode.behaviour, episode.target, cell.visible) == ("pick", target, ("carrot", "towel"))


def test_episodes_that_have_to_succeed_are_tried_again(cell, monkeypatch):
    monkeypatch.setattr("sim_cell.truth.Truth.success", lambda truth: cell.position("bowl")[0] > 0.5)
    tries = [record(cell, 3, index, longest=1, recipe=DEMONSTRATIONS) for index in range(3)]
    assert all(episode.success for episode in tries)
    loose = Recipe(objects=("carrot", "towel"), count=(2, 2), behaviour="pick")
    first = [record(cell, 3, index, longest=1, recipe=loose) for index in range(3)]
    assert not all(episode.success for episode in first)
    for kept, drawn in zip(tries, first, strict=True):
        assert np.array_equal(kept.object_positions, drawn.object_positions, equal_nan=True) == drawn.success
    monkeypatch.setattr("sim_cell.truth.Truth.success", lambda truth: False)
    with pytest.raises(SimCellError, match="episode 0 of seed 3 did not succeed"):
        record(cell, 3, 0, longest=1, recipe=DEMONSTRATIONS)


def test_folders_remember_the_recipe(tmp_path: Path, cell, capsys):
    dataset = Dataset(tmp_path, 3, 80, 48, recipe=DEMONSTRATIONS)
    dataset.write(0, record(cell, 3, 0, longest=2, recipe=Recipe(("carrot", "towel"), (2, 2), "pick")))
    assert dataset.has(0)
    with pytest.raises(DatasetMismatchError, match=r"carrot.*another folder"):
        Dataset(tmp_path, 3, 80, 48).has(0)
    annotation = json.loads((tmp_path / "annotation/train/0.json").read_text())
    assert annotation["vidplan"]["recipe"]["objects"] == ["carrot", "towel"]
    arguments = ["record", "--out", str(tmp_path), "--episodes", "1", "--seed", "3", "--width", "80", "--height", "48"]
    asked = ["--look", "plain", "--objects", "carrot, towel", "--clutter", "1", "--behaviour", "pick", "--successes"]
    assert cli.main([*arguments, *asked]) == 0
    assert "0 episodes written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--objects", "carrot,banana"], "banana"),
        (["--objects", "carrot,towel"], "2 to 4 objects beside the target cannot be had of carrot, towel"),
        (["--clutter", "7"], "7 objects beside"),
        (["--objects", "carrot,carrot", "--clutter", "1"], "each object once"),
    ],
)
def test_what_cannot_be_recorded_is_named(tmp_path: Path, capsys, options, wrong):
    assert cli.main(["record", "--out", str(tmp_path / "none"), *options]) == 1
    assert wrong in capsys.readouterr().err
