from __future__ import annotations

from itertools import pairwise
from typing import Any

import matplotlib
import pytest
from matplotlib.figure import Figure

from models.evaluation import plots, tables


def figure(mean: float) -> dict[str, Any]:
    return {"mean": mean, "interval": [mean - 0.1, mean + 0.1], "states": 3}


def test_a_column_has_the_same_number_of_decimals_whatever_its_values():
    assert [tables.show(value) for value in (19.0, 19.456, -0.001, 1.0)] == ["19.00", "19.46", "0.00", "1.00"]
    assert [tables.show(value, 3) for value in (0.5, None, 12)] == ["0.500", "", "12"]


def test_a_plan_is_told_in_seconds_on_the_clock_and_of_the_processor():
    part = {"0": 0.83, "4": 1.716, "stages_ms": {}, "cpu_seconds": {"0": 0.97, "4": 1.99}, "note": "Median."}
    assert tables.plan(part).rows[1:] == [["expected future", "0.83", "0.97"], ["4 steps", "1.72", "1.99"]]


def test_ways_of_judging_are_named_in_words():
    ways = ("without_value", "without_value_and_uncertainty", "perfect_imagination")
    part = {
        "overall": {"kendall_tau": figure(0.8)},
        "by_kind": {},
        "by_candidates": {},
        "ways": {way: {"kendall_tau": figure(0.5)} for way in ways},
        "views": {},
        "random": {"regret": figure(0.5)},
        "note": "",
        "candidates": 15.0,
    }
    table = tables.ranking(part)
    assert [row[0] for row in table.rows[2:5]] == [
        "judged without E[V]",
        "judged without E[V] and uncertainty",
        "judged with perfect imagination",
    ]
    assert table.rows[1][2] == "0.80 [0.70, 0.90]"


def test_step_labels_do_not_run_into_each_other(monkeypatch: pytest.MonkeyPatch):
    entry = {"psnr_changed": 15.0, "ssim": 0.7}
    quality = {
        "steps": dict.fromkeys(("0", "1", "2", "4", "8", "50"), entry),
        "teacher": {"steps": 50},
        "repeat_last": {"psnr_changed": 11.0, "ssim": 0.6},
        "autoencoder_bound": {"psnr_changed": 27.0, "ssim": 0.9},
    }
    drawn = Figure(figsize=(8.4, 3.1), layout="constrained")
    monkeypatch.setattr(plots, "_svg", lambda draw, width, height: draw(drawn))
    with matplotlib.rc_context({"font.size": 9}):
        plots.by_steps(quality)
        drawn.draw_without_rendering()
        for axes in drawn.axes:
            labels = axes.get_xticklabels()
            middles = [label.get_window_extent().x0 + label.get_window_extent().width / 2 for label in labels]
            between = min(right - left for left, right in pairwise(middles))
            assert len(labels) == 6
            assert max(label.get_window_extent().width for label in labels) < between  # the page has fonts of its own
