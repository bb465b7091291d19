"""Two versions of a planner on the same bag: which plans differ, by how much, and whether that is too much."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robot_bridge.errors import BridgeError
from robot_model.conventions import pose_to_matrix

FORMAT = 1
RESULT = "plans.json"
SAME_MOMENT = 1e-6
"""Seconds by which the observations of two equal questions may differ."""
KEPT = ("plan", "observation_stamp", "accepted", "refined", "uncertainty", "times", "poses")


@dataclass(frozen=True)
class Tolerance:
    """How far two plans may be apart and still count as equal, per waypoint.

    Attributes:
        position: Metres.
        angle: Radians.
        gripper: Of 0 (open) .. 1 (closed).
    """

    position: float = 0.001
    angle: float = 0.01
    gripper: float = 0.05


@dataclass(frozen=True)
class Difference:
    """One plan of which the two versions think differently.

    Attributes:
        plan: Its number in the newer run, or in the older one where it is only there.
        seconds: Time of its observation since the first of the run.
        position: Largest distance of a waypoint, m; angle [rad] and gripper likewise; None where one plan is missing.
        angle: See above.
        gripper: See above.
        excess: How many times the tolerance; infinite where they cannot be compared.
        text: What differs, in words.
    """

    plan: int
    seconds: float
    position: float | None
    angle: float | None
    gripper: float | None
    excess: float
    text: str


def write_result(run: Path, events: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``plans.json``, what a later version is compared with; small enough to be kept with a project.

    Args:
        run: The run directory.
        events: Its events.
        about: ``bag``, ``instruction``, ``fast`` and ``model`` of the replay.
    """
    plans = []
    for happened in events:
        if happened.get("event") == "plan":
            candidates, chosen = happened.get("candidates") or [], happened.get("chosen")
            name = candidates[chosen].get("name") if isinstance(chosen, int) and chosen < len(candidates) else None
            plans.append({key: happened.get(key) for key in KEPT} | {"chosen": name})
    result = {"format": FORMAT, **about, "plans": plans}
    (run / RESULT).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def read_result(path: Path) -> dict[str, Any]:
    """Read the ``plans.json`` of an earlier replay; also takes its folder, or another file in it.

    Raises:
        BridgeError: There is none, or it is of another format.
    """
    file = path / RESULT if path.is_dir() else path
    if file.name == "summary.json":
        file = file.with_name(RESULT)
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BridgeError(f"{file}: cannot be read as the {RESULT} of a replay ({error}).") from error
    if not isinstance(result, dict) or result.get("format") != FORMAT or not isinstance(result.get("plans"), list):
        raise BridgeError(f"{file}: not a {RESULT} of this version; make it again with `vidplan replay --fast`.")
    return result


def comparable(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise where two results are no answers to the same questions.

    Raises:
        BridgeError: Another bag, another task, or a replay whose questions depended on its pace.
    """
    if not (old.get("fast") and new.get("fast")):
        raise BridgeError("a replay at recorded speed asks when the machine has time; compare those made with --fast.")
    for name, words in (("bag", "bag"), ("instruction", "instruction")):
        if old.get(name) != new.get(name):
            raise BridgeError(f"not comparable: another {words}: {old.get(name)!r} before, {new.get(name)!r} now.")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], tolerance: Tolerance) -> list[Difference]:
    """The plans that differ beyond the tolerance, in order of time."""
    plans = [*old["plans"], *new["plans"]]
    begin = min((float(plan["observation_stamp"]) for plan in plans), default=0.0)
    found = []
    rest = list(old["plans"])
    for plan in new["plans"]:
        match = next((p for p in rest if _apart(p, plan) <= SAME_MOMENT), None)
        if match is not None:
            rest.remove(match)
        found.append(_compare(match, plan, begin, tolerance))
    found += [_compare(plan, None, begin, tolerance) for plan in rest]
    return sorted((each for each in found if each.excess > 1.0), key=lambda each: each.seconds)


def compare(old: Mapping[str, Any], new: Mapping[str, Any], tolerance: Tolerance) -> dict[str, Any]:
    """The comparison, ready for JSON: counts, the first and the worst difference, and all of them."""
    comparable(old, new)
    found = differences(old, new, tolerance)
    worst = max(found, key=lambda each: each.excess, default=None)
    return {
        "models": [old.get("model"), new.get("model")],
        "plans": [len(old["plans"]), len(new["plans"])],
        "tolerance": asdict(tolerance),
        "differing": len(found),
        "first": _plain(found[0]) if found else None,
        "worst": _plain(worst) if worst else None,
        "differences": [_plain(each) for each in found],
    }


def in_words(comparison: Mapping[str, Any]) -> list[str]:
    """A comparison as lines for people."""
    old, new = comparison["plans"]
    if not comparison["differing"]:
        return [f"Same as before: {new} plans, none differs beyond the tolerance."]
    lines = [f"DIFFERENT from before: {comparison['differing']} of {max(old, new)} plans differ beyond the tolerance."]
    for name in ("first", "worst"):
        each = comparison[name]
        lines.append(f"{name}: plan {each['plan']} at {each['seconds']:.2f} s: {each['text']}")
    return lines


def _compare(
    old: Mapping[str, Any] | None, new: Mapping[str, Any] | None, begin: float, tolerance: Tolerance
) -> Difference:
    plan = new or old
    assert plan is not None
    number, seconds = int(plan["plan"]), float(plan["observation_stamp"]) - begin
    endless = float("inf")
    if old is None or new is None:
        text = "there was no such plan before" if old is None else "there is no such plan any more"
        return Difference(number, seconds, None, None, None, endless, text)
    if np.shape(old["poses"]) != np.shape(new["poses"]) or not np.allclose(old["times"], new["times"], atol=1e-3):
        return Difference(number, seconds, None, None, None, endless, "its waypoints lie at other times")
    position, angle, gripper = _distances(np.array(old["poses"], float), np.array(new["poses"], float))
    excess = max(
        _ratio(position, tolerance.position), _ratio(angle, tolerance.angle), _ratio(gripper, tolerance.gripper)
    )
    text = f"{position * 1e3:.1f} mm, {np.degrees(angle):.1f} deg, gripper {gripper:.2f} apart"
    if old["chosen"] != new["chosen"]:
        text += f"; chose '{new['chosen']}' instead of '{old['chosen']}'"
    if old["accepted"] != new["accepted"]:
        excess = endless
        text += "; the guard " + ("now accepts it" if new["accepted"] else "now refuses it")
    return Difference(number, seconds, position, angle, gripper, excess, text)


def _distances(old: np.ndarray, new: np.ndarray) -> tuple[float, float, float]:
    """Largest distance [m], angle [rad] and gripper difference of two paths ``(N, 7)``."""
    a, b = pose_to_matrix(old[:, :6]), pose_to_matrix(new[:, :6])
    turn = np.einsum("nji,njk->nik", a[:, :3, :3], b[:, :3, :3])
    # |R - R'| is exact for small angles, where the arc cosine of the trace is not.
    angles = 2 * np.arcsin(np.clip(np.linalg.norm(turn - np.eye(3), axis=(1, 2)) / np.sqrt(8), 0.0, 1.0))
    far = np.linalg.norm(old[:, :3] - new[:, :3], axis=1)
    return float(far.max()), float(angles.max()), float(np.abs(old[:, 6] - new[:, 6]).max())


def _ratio(value: float, allowed: float) -> float:
    return value / allowed if allowed > 0 else (float("inf") if value > 0 else 0.0)


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    return abs(float(one["observation_stamp"]) - float(other["observation_stamp"]))


def _plain(each: Difference) -> dict[str, Any]:
    """JSON has no infinity."""
    return {**asdict(each), "excess": each.excess if np.isfinite(each.excess) else None}
