from __future__ import annotations

import numpy as np
import pytest

from robot_bridge.trials.comparison import series
from robot_bridge.trials.statistics import Rate, barnard, mcnemar, rate
from robot_bridge.trials.trial import Labels, Setup, Trial


def trial(number: int, task: str, method: str, seed: int, labels: Labels, **setup: str) -> Trial:
    made = Setup(setup.pop("suite", "s"), task, f"put the {task} in the bowl", method, seed, **setup)  # type: ignore[arg-type]
    return Trial(number, made, "finished", 0.0, 1, "0", labels=labels)


@pytest.mark.parametrize(("hits", "of"), [(0, 20), (1, 20), (17, 20), (20, 20), (3, 7)])
def test_wilson_is_the_closed_form(hits: int, of: int) -> None:
    z, p = 1.959963984540054, hits / of
    centre, half = p + z * z / (2 * of), z * np.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    expected = (centre - half) / (1 + z * z / of), (centre + half) / (1 + z * z / of)
    assert Rate(hits, of).wilson == pytest.approx(expected, abs=1e-9)


def test_a_known_wilson_interval_and_no_trials() -> None:
    assert Rate(17, 20).wilson == pytest.approx((0.6396, 0.9476), abs=5e-5)
    assert (Rate(0, 0).value, Rate(0, 0).wilson) == (None, None)
    assert rate([True, None, False, True]) == Rate(2, 3)


def test_mcnemar_counts_only_what_differs() -> None:
    # 9 won, 1 lost: two-sided 2 (C(10,0) + C(10,1)) / 2^10 = 22 / 1024.
    first = [True] * 9 + [False] + [True] * 5 + [False] * 5
    second = [False] * 9 + [True] + [True] * 5 + [False] * 5
    assert mcnemar(first, second) == pytest.approx(22 / 1024)
    assert mcnemar(second, first) == pytest.approx(22 / 1024)
    assert mcnemar(first, first) == 1.0
    assert mcnemar([True] * 3, [False] * 3) == pytest.approx(2 / 8)


def test_barnard_of_small_tables() -> None:
    # 2 of 2 against 0 of 2: only the two opposite tables are as extreme, 2 p^2 (1-p)^2, largest at p = 1/2: 1/8.
    assert barnard(Rate(2, 2), Rate(0, 2)) == pytest.approx(1 / 8, abs=1e-6)
    # 3 of 3 against 0 of 3, likewise: 2 / 2^6.
    assert barnard(Rate(3, 3), Rate(0, 3)) == pytest.approx(1 / 32, abs=1e-6)
    assert barnard(Rate(20, 20), Rate(20, 20)) == 1.0
    assert barnard(Rate(0, 20), Rate(0, 10)) == 1.0
    assert barnard(Rate(0, 0), Rate(3, 3)) is None
    # The paper's measuring tape, 15 against 4 of 20, is beyond doubt.
    assert (barnard(Rate(15, 20), Rate(4, 20)) or 1) < 0.001


def test_methods_are_compared_on_the_seeds_they_share() -> None:
    won = {("vidplan", 0): True, ("vidplan", 1): True, ("vidplan", 2): False, ("vidplan", 9): True}
    base = {("nominal", 0): False, ("nominal", 1): True, ("nominal", 2): True, ("nominal", 3): False}
    rows = [trial(i, "fish", *key, Labels(success=ok)) for i, (key, ok) in enumerate((won | base).items())]
    rows.append(trial(99, "fish", "vidplan", 3, Labels()))  # never judged: neither a success nor a failure
    (only,) = series(rows)
    assert only.methods == ("nominal", "vidplan")
    (difference,) = only.differences()
    assert (difference.pairs, difference.won, difference.lost, difference.mcnemar) == (3, 1, 1, 1.0)
    assert difference.points == pytest.approx(75 - 50)
    assert only.cell("fish", "vidplan").success == Rate(3, 4)
    assert series(rows, "vidplan")[0].methods == ("vidplan", "nominal")


def test_tasks_stand_as_in_the_paper_whoever_was_first() -> None:
    yes = Labels(success=True)
    rows = [trial(i, task, "m", 0, yes) for i, task in enumerate(("stack", "towel", "fish", "pour", "tape"))]
    assert series(rows)[0].tasks == ("tape", "fish", "towel", "stack", "pour")


def test_suites_and_sources_are_never_pooled() -> None:
    yes = Labels(success=True)
    rows = [
        trial(1, "pea", "m", 0, yes),
        trial(2, "pea", "m", 1, yes, suite="tuning"),
        trial(3, "pea", "m", 2, yes, source="real"),
    ]
    assert [(s.suite, s.source, len(s.trials)) for s in series(rows)] == [
        ("s", "sim", 1), ("tuning", "sim", 1), ("s", "real", 1),
    ]  # fmt: skip


def test_preferences_follow_the_method_not_the_letter() -> None:
    rows = []
    for number, (a, b, preferred) in enumerate(
        [("vidplan", "pi05", "A"), ("pi05", "vidplan", "B"), ("pi05", "vidplan", "A"), ("pi05", "vidplan", "tie")]
    ):
        for side, method in (("A", a), ("B", b)):
            labels = Labels(success=True, preference=preferred)
            rows.append(trial(0, "pea", method, number, labels, source="real", pair=f"p{number}", side=side))
    rows.append(trial(0, "pea", "pi05", 9, Labels(preference="A"), source="real", pair="half", side="A"))
    (counted,) = series(rows)[0].preferences()
    assert (counted.first, counted.second) == ("pi05", "vidplan")
    assert (counted.for_first, counted.for_second, counted.ties) == (1, 2, 1)
