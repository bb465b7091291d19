"""The figures of ranking fidelity, from the records of `ranking`; numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from planner_server.evaluation.statistics import (
    in_top_third,
    kendall_tau,
    mean_with_interval,
    regret,
    relative_regret,
)

TIE = 0.01
"""Rewards that differ by less are equally good: about a millimetre of the tool, seen by a scene camera."""
TIE_METRES = 0.001
PERFECT = "perfect_imagination"
"""The way of judging that knows the true reward: what is left then is the reward's own fault, not the model's."""
NOTE = (
    "Imagined and true reward of the planner's own candidates, state by state. The true reward is the planner's "
    "formula on the simulator's segmentation and measured poses, without doubt; progress is in metres of the tool "
    "towards where it can grasp, or of what is held towards where it falls into the bowl. Kendall's tau-b, mean over "
    f"states; true rewards within {TIE} and progress within {1000 * TIE_METRES:.0f} mm count as ties. Top third: the "
    "chosen candidate is as good as the worst of the best third. Regret: share of the range of all candidates."
)

Record = dict[str, Any]


def summarise(records: Sequence[Record]) -> dict[str, Any]:
    """All figures of a run; ``kendall_tau``, ``top_third_rate`` and ``regret`` are the headline."""
    overall = fidelity(records)
    ways = [way for way in records[0]["imagined"] if way != "planner"]
    return {
        "kendall_tau": overall["kendall_tau"]["mean"],
        "top_third_rate": overall["top_third_rate"]["mean"],
        "regret": overall["regret"]["mean"],
        "regret_metres": overall["regret_metres"]["mean"],
        "states": len(records),
        "candidates": round(float(np.mean([len(record["true"]) for record in records])), 1),
        "note": NOTE,
        "overall": overall,
        "by_kind": {kind: fidelity(of_kind) for kind, of_kind in _by_kind(records).items()},
        "by_candidates": {
            "along the axes": fidelity(
                [_only(record, lambda name: not name.startswith("script")) for record in records]
            ),
            "script": fidelity([_only(record, lambda name: name.startswith("script")) for record in records]),
        },
        "ways": {way: fidelity(records, way) for way in (*ways, PERFECT)},
        "views": {view: _view(records, view) for view in records[0]["views"]},
        "random": _random(records),
        "refinement": {
            "overall": refinement(records),
            **{kind: refinement(of_kind) for kind, of_kind in _by_kind(records).items()},
        },
    }


def fidelity(records: Sequence[Record], way: str = "planner") -> dict[str, Any]:
    """Agreement with the truth of one way of judging, each figure with its interval over states."""

    def over(measure: Callable[[np.ndarray, np.ndarray, np.ndarray, int], float]) -> dict[str, Any]:
        return mean_with_interval([measure(*_arrays(record, way)) for record in records])

    return {
        "kendall_tau": over(lambda imagined, true, metres, chosen: kendall_tau(imagined, true, TIE)),
        "top_third_rate": over(lambda imagined, true, metres, chosen: in_top_third(true, chosen, TIE)),
        "regret": over(lambda imagined, true, metres, chosen: relative_regret(true, chosen, TIE)),
        "kendall_tau_progress": over(lambda imagined, true, metres, chosen: kendall_tau(imagined, metres, TIE_METRES)),
        "top_third_rate_progress": over(
            lambda imagined, true, metres, chosen: in_top_third(metres, chosen, TIE_METRES)
        ),
        "regret_metres": over(lambda imagined, true, metres, chosen: regret(metres, chosen)),
        "progress_metres": over(lambda imagined, true, metres, chosen: float(metres[chosen])),
        "best_progress_metres": over(lambda imagined, true, metres, chosen: float(metres.max())),
    }


def refinement(records: Sequence[Record]) -> dict[str, Any]:
    """What the local planner truly did to the winners that it changed: progress [m] and true reward."""
    changed = [record["refinement"] for record in records if record["refinement"]["refined"]]
    gains = [part["progress"][1] - part["progress"][0] for part in changed]
    return {
        "refined": len(changed),
        "states": len(records),
        "progress_before_metres": mean_with_interval([part["progress"][0] for part in changed]),
        "progress_after_metres": mean_with_interval([part["progress"][1] for part in changed]),
        "gain_metres": mean_with_interval(gains),
        "median_gain_metres": round(float(np.median(gains)), 4) if gains else None,
        "improved": mean_with_interval([float(gain > TIE_METRES) for gain in gains]),
        "worsened": mean_with_interval([float(gain < -TIE_METRES) for gain in gains]),
        "true_reward_gain": mean_with_interval([part["true"][1] - part["true"][0] for part in changed]),
    }


def _view(records: Sequence[Record], view: str) -> dict[str, Any]:
    """The reward of one view alone, against what that view would truly have shown and against true progress."""
    states = [
        (
            np.array(record["views"][view]["imagined"]),
            np.array(record["views"][view]["true"]),
            np.array(record["progress"]),
        )
        for record in records
    ]
    return {
        "kendall_tau": mean_with_interval([kendall_tau(imagined, true, TIE) for imagined, true, _ in states]),
        "kendall_tau_progress": mean_with_interval([kendall_tau(r, metres, TIE_METRES) for r, _, metres in states]),
        "perfect_kendall_tau_progress": mean_with_interval(
            [kendall_tau(r, metres, TIE_METRES) for _, r, metres in states]
        ),
    }


def _random(records: Sequence[Record]) -> dict[str, Any]:
    """The same figures for a planner that draws a candidate blindly: each is as likely as the others."""
    top, cost = [], []
    for record in records:
        true = np.array(record["true"])
        top.append(float(np.mean([in_top_third(true, chosen, TIE) for chosen in range(len(true))])))
        cost.append(float(np.mean([relative_regret(true, chosen, TIE) for chosen in range(len(true))])))
    return {
        "top_third_rate": mean_with_interval(top),
        "regret": mean_with_interval(cost),
        "progress_metres": mean_with_interval([float(np.mean(record["progress"])) for record in records]),
    }


def _only(record: Record, wanted: Callable[[str], bool]) -> Record:
    """A state with some of its candidates only: how well the planner would choose among these."""
    kept = [index for index, name in enumerate(record["names"]) if wanted(name)]

    def pick(values: Sequence[float]) -> list[float]:
        return [values[index] for index in kept]

    return {
        "imagined": {way: pick(values) for way, values in record["imagined"].items()},
        "true": pick(record["true"]),
        "progress": pick(record["progress"]),
    }


def _arrays(record: Record, way: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Imagined and true rewards, progress and the chosen index of one state."""
    imagined = np.array(record["true"] if way == PERFECT else record["imagined"][way])
    return imagined, np.array(record["true"]), np.array(record["progress"]), int(imagined.argmax())


def _by_kind(records: Sequence[Record]) -> dict[str, list[Record]]:
    kinds = dict.fromkeys(record["kind"] for record in records)
    return {kind: [record for record in records if record["kind"] == kind] for kind in kinds}
