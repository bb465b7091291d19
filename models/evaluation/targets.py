"""What a shipped bundle should reach, and whether a report reaches it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

Results = Mapping[str, Any]
Value = float | None
SIGNIFICANT = 0.01


@dataclass(frozen=True)
class Verdict:
    """One line of the table.

    Attributes:
        what: What is measured.
        target: The target in words.
        measured: The figure in words, ``not measured`` where there is none.
        met: Whether it is met; None where nothing was measured.
    """

    what: str
    target: str
    measured: str
    met: bool | None


@dataclass(frozen=True)
class _Target:
    what: str
    read: Callable[[Results], Value]
    bound: float
    at_most: bool = False
    strictly: bool = False
    unit: str = ""
    digits: int = 2
    flaw: Callable[[Results], str] = lambda results: ""

    def judge(self, results: Results) -> Verdict:
        words, compare = {
            (True, False): ("at most", operator.le),
            (True, True): ("under", operator.lt),
            (False, False): ("at least", operator.ge),
            (False, True): ("above", operator.gt),
        }[self.at_most, self.strictly]
        target = f"{words} {self.bound:g}{self.unit}"
        try:
            value, flaw = self.read(results), self.flaw(results)
        except (KeyError, IndexError, TypeError):
            value, flaw = None, ""
        if value is None:
            return Verdict(self.what, target, "not measured", None)
        met, digits = bool(compare(value, self.bound)), self.digits
        while math.isfinite(value) and bool(compare(round(value, digits), self.bound)) is not met:
            digits += 1  # 0.4452 is not "0.45, at least 0.45, missed"
        measured = f"{value:.{digits}f}{self.unit}" + (f", {flaw}" if flaw else "")
        return Verdict(self.what, target, measured, met and not flaw)


def judge(results: Results) -> list[Verdict]:
    """The verdict on every target."""
    kinds = results.get("uncertainty", {}).get("unfamiliar", {})
    detections = [
        _Target(
            f"AUROC of unfamiliar recordings, {kind}", partial(_at, path=f"uncertainty.unfamiliar.{kind}.auroc"), 0.85
        )
        for kind in kinds
    ] or [_Target("AUROC of unfamiliar recordings", partial(_at, path="uncertainty.ood_auroc"), 0.85)]
    return [target.judge(results) for target in (*_VIDEO, *_CALIBRATION, *detections, *_PLANNER)]


def targets_table(results: Results) -> str:
    """The verdicts as text, for a terminal."""
    rows = [("", "measured", "target", "")]
    rows += [(v.what, v.measured, v.target, in_words(v.met)) for v in judge(results)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def in_words(met: bool | None) -> str:
    """met, missed, or nothing."""
    return "" if met is None else "met" if met else "missed"


def _at(results: Results, path: str) -> Any:
    value: Any = results
    for key in path.split("."):
        value = value[int(key) if isinstance(value, Sequence) else key] if value is not None else None
    return value


def _loss(key: str) -> Callable[[Results], Value]:
    """How much lower the 4-step figure is than its teacher's."""

    def read(results: Results) -> Value:
        steps, teacher = results["quality"]["steps"], results["quality"]["teacher"]["steps"]
        return steps[str(teacher)][key] - steps["4"][key]

    return read


def _least(*paths: str) -> Callable[[Results], Value]:
    """The smallest of several figures or lists of figures."""

    def read(results: Results) -> Value:
        found = [_at(results, path) for path in paths]
        flat = [value for entry in found for value in (entry if isinstance(entry, list) else [entry])]
        return None if None in flat else min(flat)

    return read


def _insignificant(path: str) -> Callable[[Results], str]:
    """Says so where the p-value of a correlation is not below 0.01."""

    def read(results: Results) -> str:
        p = _at(results, path)
        return "" if p < SIGNIFICANT else f"p = {p:g}"

    return read


_VIDEO = (
    _Target("4 steps: PSNR below the teacher's", _loss("psnr"), 0.5, at_most=True, unit=" dB"),
    _Target("4 steps: SSIM below the teacher's", _loss("ssim"), 0.01, at_most=True, digits=3),
    _Target(
        "4 steps: sharpness, share of the teacher's", partial(_at, path="quality.steps.4.sharpness_to_teacher"), 0.9
    ),
    _Target(
        "planner's steps, over repeating the last frame, changed pixels, last frame",
        partial(_at, path="quality.gain_changed_db"),
        6.0,
        unit=" dB",
    ),
    _Target("swapped actions: error", partial(_at, path="controllability.swapped_error_ratio"), 1.7, unit="x"),
    _Target(
        "imagined against commanded tool: correlation, worst axis", _least("controllability.gripper_correlation"), 0.95
    ),
    _Target("imagined against commanded tool: slope, worst axis", _least("controllability.gripper_slope"), 0.8),
    *(
        _Target(
            f"speed over the teacher, {steps} step{'s' * (steps > 1)}",
            partial(_at, path=f"speedup.{steps}"),
            ratio,
            unit="x",
            digits=1,
        )
        for steps, ratio in ((1, 70), (2, 35), (4, 17))
    ),
)
_CALIBRATION = (
    _Target("ECE, all elements", partial(_at, path="uncertainty.ece"), 0.02, at_most=True, digits=3),
    _Target("ECE, moving elements", partial(_at, path="uncertainty.ece_moving"), 0.05, at_most=True, digits=3),
    _Target("ECE, worst unfamiliar recording", partial(_at, path="uncertainty.ece_ood"), 0.1, at_most=True, digits=3),
    *(
        _Target(
            f"entropy with {name} error, {level}",
            _least(
                f"uncertainty.entropy_{name}_error{path}.pearson", f"uncertainty.entropy_{name}_error{path}.spearman"
            ),
            bound,
            flaw=_insignificant(f"uncertainty.entropy_{name}_error{path}.p"),
        )
        for name, bound in (("latent", 0.5), ("perceptual", 0.45))
        for level, path in (("moving cells", ""), ("per clip", ".per_clip"))
    ),
)
_PLANNER = (
    _Target("candidates: Kendall's tau, imagined with true reward", partial(_at, path="ranking.kendall_tau"), 0.6),
    _Target("candidates: chosen one among the true best third", partial(_at, path="ranking.top_third_rate"), 0.9),
    _Target(
        "candidates: Kendall's tau of the wrist view alone",
        partial(_at, path="ranking.views.wrist.kendall_tau.mean"),
        0.4,
        strictly=True,
    ),
    _Target("plan in 4 steps", partial(_at, path="plan_seconds.4"), 2.0, at_most=True, strictly=True, unit=" s"),
    _Target("plan in 1 step", partial(_at, path="plan_seconds.1"), 0.7, at_most=True, strictly=True, unit=" s"),
    _Target("bundle", partial(_at, path="bundle.megabytes"), 40.0, at_most=True, strictly=True, unit=" MB", digits=1),
)
