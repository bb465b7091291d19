"""The report's tables as rows of text; `page` and `card` turn them into HTML and Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.evaluation.names import in_steps
from models.evaluation.targets import in_words, judge

Part = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A title, what to know about it, and rows of cells, the head first."""

    title: str
    text: str
    rows: list[list[str]]


def targets(results: Part) -> Table:
    """What a shipped bundle should reach, beside what was measured."""
    rows = [["", "measured", "target", ""]]
    rows += [[v.what, v.measured, v.target, in_words(v.met)] for v in judge(results)]
    return Table("Targets", "", rows)


def quality(part: Part) -> Table:
    """Figures by number of steps."""
    teacher = part["teacher"]
    first, last = teacher["guidance"]
    entries = {
        "repeat the last frame": part["repeat_last"],
        **{_steps(name, teacher["steps"]): entry for name, entry in part["steps"].items()},
        f"teacher with guidance {first:g} to {last:g}": part["teacher_with_guidance"],
        "autoencoder bound": part["autoencoder_bound"],
    }
    views = list(part["repeat_last"]["psnr_changed_last_by_view"])
    with_lpips = part["repeat_last"]["lpips"] is not None
    head = ["", "PSNR", "SSIM", *(["LPIPS"] if with_lpips else []), "changed", "changed, last", *views]
    head += ["sharpness to teacher", "to truth", "same noise", "other noise"]
    rows = [head]
    for name, entry in entries.items():
        agreement = entry.get("agreement", {})
        by_view = entry["psnr_changed_last_by_view"]
        cells = [show(entry["psnr"]), show(entry["ssim"], 3), *([show(entry["lpips"], 3)] if with_lpips else [])]
        cells += map(show, [entry["psnr_changed"], entry["psnr_changed_last"], *(by_view[view] for view in views)])
        cells += [show(entry["sharpness_to_teacher"]), show(entry["sharpness_to_truth"])]
        rows.append([name, *cells, *(show(agreement.get(f"{whose}_noise"), 3) for whose in ("same", "other"))])
    text = (
        f"{part['clips']} clips of {part['episodes']} held-out episodes. PSNR in dB, pooled over all pixels, over "
        "those that change, and over those of the last frame, also by view. Sharpness: brightness gradient energy on "
        "changed pixels. Same noise: squared latent distance to the teacher's sample from the same noise, relative to "
        "how far the teacher moved; other noise: the same from another clip's noise. The teacher without guidance is "
        "what the flow map was distilled from; it is the same network's instantaneous velocity."
    )
    return Table("Video by number of steps", text, rows)


def horizon(part: Part) -> Table:
    """Rolled out figures."""
    part = part["horizon"]
    rows = [["frames ahead", "clips", "way", "PSNR", "SSIM", "changed"]]
    for frames, entry in part.items():
        if not frames.isdigit():
            continue
        if entry is None:
            rows.append([frames, "0", "no held-out episode is long enough", "", "", ""])
            continue
        for clips, group in ((entry["clips"], entry), (entry["with_teacher"]["clips"], entry["with_teacher"])):
            for name, figures in group.items():
                if isinstance(figures, Mapping) and "psnr" in figures:
                    way = "repeat last" if name == "repeat_last" else in_steps(name)
                    cells = (show(figures["psnr"]), show(figures["ssim"], 3), show(figures["psnr_changed"]))
                    rows.append([frames, str(clips), way, *cells])
    return Table("Far ahead", _sentence(part["note"]), rows)


def speed(part: Part) -> Table:
    """Ratios and milliseconds."""
    rows = [["batch", "steps", "ms", "over the teacher with guidance", "over the teacher without"]]
    for batch, entry in part["batches"].items():
        for name, milliseconds in entry["milliseconds"].items():
            ratios = (entry["ratio"].get(name), entry["ratio_without_guidance"].get(name))
            cells = (show(milliseconds, 0 if milliseconds >= 100 else 1), *(show(ratio, 1) for ratio in ratios))
            rows.append([batch, _steps(name, part["teacher"]["steps"]), *cells])
    return Table("Speed", _sentence(part["note"]), rows)


def controllability(part: Part) -> Table:
    """The tool's motion by axis."""
    readout = part["readout"]
    rows = [["", "x", "y", "z"]]
    for name, values in (
        ("imagined with commanded: correlation", part["gripper_correlation"]),
        ("imagined with commanded: slope", part["gripper_slope"]),
        ("real with commanded: correlation", readout["correlation_real_frames"]),
        ("real with commanded: slope", readout["slope_real_frames"]),
        ("error of the readout on real frames [cm]", readout["error_cm"]),
    ):
        rows.append([name, *map(show, values)])
    text = (
        f"Error under another clip's actions: {show(part['swapped_error_ratio'])} times that under its own "
        f"({part['clips']} clips). The tool's position is read from the fixed views by a network fitted on real frames "
        f"({readout['fitted_on']}); what it says of real frames bounds what it can say of imagined ones."
    )
    return Table("Does it follow actions?", text, rows)


def calibration(part: Part) -> Table:
    """Calibration by view, frame and recording."""
    rows = [["", "clips", "ECE", "ECE, moving", "MCE", "MCE, moving", "ECE of the top bin", "top bin, moving"]]
    keys = ("ece", "ece_moving", "mce", "mce_moving", "ece_top_bin", "ece_top_bin_moving")
    for name, entry in (("in distribution", part), *part["unfamiliar"].items()):
        rows.append([name, str(entry["clips"]), *(show(entry[key], 3) for key in keys)])
    for view, ece in part["ece_by_view"].items():
        rows.append([f"{view} view", "", show(ece, 3), show(part["ece_moving_by_view"][view], 3), *[""] * 4])
    for frame, (ece, moving) in enumerate(zip(part["ece_by_frame"], part["ece_moving_by_frame"], strict=True), start=1):
        rows.append([f"frame {frame}", "", show(ece, 3), show(moving, 3), *[""] * 4])
    return Table("Is the uncertainty calibrated?", part["note"], rows)


def correlation(part: Part) -> Table:
    """Correlation of entropy with errors."""
    rows = [["entropy with", "level", "Pearson", "Spearman", "p", "n"]]
    for error in ("latent", "perceptual"):
        entry = part[f"entropy_{error}_error"]
        name = "latent error" if error == "latent" else f"perceptual error ({entry['error']})"
        within = entry["within_clips"]
        for level, cells in (
            ("moving cells", {"pearson": entry["pearson"], "spearman": entry["spearman"], "n": entry["cells"]}),
            ("inside single clips, moving cells", within),
            ("clip means", entry["per_clip"]),
            ("episode means", entry["per_episode"]),
            *((f"moving cells, {view} view", {"spearman": value}) for view, value in entry["by_view"].items()),
            ("all cells", entry["all_cells"]),
        ):
            coefficients = (show(cells.get("pearson")), show(cells.get("spearman")))
            rows.append([name, level, *coefficients, _probability(cells.get("p")), show(cells.get("n"))])
    return Table("Does it know where it is wrong?", "", rows)


def detection(part: Part) -> Table:
    """AUROC by recording and score, the one that counts first."""
    scores = list(next(iter(part["unfamiliar"].values()))["by_score"]) if part["unfamiliar"] else []
    rows = [
        [
            "recording",
            "clips",
            "AUROC",
            "95 %",
            "per episode",
            *(f"by {score}" for score in scores),
            "mean h",
            "mean error",
        ]
    ]
    for name, entry in part["unfamiliar"].items():
        low, high = entry["interval"]
        areas = map(show, (entry["per_episode"], *entry["by_score"].values()))
        means = (show(entry["mean_h"], 3), show(entry["mean_error"], 3))
        rows.append([name, str(entry["clips"]), show(entry["auroc"]), f"{show(low)} to {show(high)}", *areas, *means])
    text = (
        f"Clips of unfamiliar recordings told from {part['clips']} familiar ones by one number each: {part['score']}; "
        "beside it the other scores one might take. Familiarity is about the newest observed frame, every other score "
        "about the imagined video. The interval draws whole episodes again. Familiar: mean h "
        f"{show(part['mean_h'], 3)}, mean error {show(part['mean_error'], 3)}."
    )
    return Table("Does it notice the unfamiliar?", text, rows)


def reward(part: Part) -> Table:
    """The value head."""
    rows = [["figure", "value"]]
    rows += [["ECE", show(part["ece"], 3)], ["MCE", show(part["mce"], 3)]]
    rows.append(["AUC, success against failure", show(part["success_auc"])])
    rows.append(["rank correlation", show(part["rank correlation"])])
    rows.append(["mean absolute error", show(part["mean absolute error"], 3)])
    rows.append(["mean absolute error of a constant", show(part["mean absolute error of the constant mean"], 3)])
    rows.append(["AUC by third of the episode", ", ".join(map(show, part["success_auc_by_third"]))])
    for name, entry in part["rise"].items():
        change, share = show(entry["change"]), show(entry["share_rising"])
        rows.append([f"{name}: change from first to last clip", f"{change}, rises in {share} of {entry['episodes']}"])
    return Table("The value head", _sentence(part["note"]), rows)


def semantic(part: Part) -> Table:
    """Where the semantic reward looks."""
    rows = [["frames", "view", "centroid error [pixels]", "found", "false when absent"]]
    for frames, entry in part["semantic"].items():
        for view, means in entry["by_view"].items():
            rows.append([frames, view, *(show(means.get(key)) for key in ("error", "found", "false"))])
    return Table("The semantic reward", "Means over the objects; the last frame of the horizon.", rows)


def ranking(part: Part) -> Table:
    """Fidelity of the planner's ranking: overall, by kind of state, and of other ways to judge."""
    groups: dict[str, Part] = {"planner": part["overall"]}
    groups |= {f"{kind} states": entry for kind, entry in part["by_kind"].items()}
    groups |= {f"candidates: {which}": entry for which, entry in part["by_candidates"].items()}
    groups |= {_way(way): entry for way, entry in part["ways"].items()}
    groups |= {f"{view} view alone": entry for view, entry in part["views"].items()}
    groups["drawn blindly"] = part["random"]
    keys = ("kendall_tau", "kendall_tau_progress", "top_third_rate", "regret")
    rows = [["", "states", "Kendall's tau", "tau with progress", "in the best third", "regret", "progress [m]"]]
    for name, entry in groups.items():
        states = max(figure["states"] for figure in entry.values())
        progress = _with_interval(entry.get("progress_metres"), 3)
        rows.append([name, str(states), *(_with_interval(entry.get(key)) for key in keys), progress])
    text = f"{part['note']} {part['candidates']:g} candidates in a state; in brackets the 95 % interval over states."
    return Table("Are candidates ranked as the simulator ranks them?", text, rows)


def refinement(part: Part) -> Table:
    """What the local planner did to the winners, in the simulator."""
    rows = [["states", "changed", "progress before [m]", "after [m]", "improved", "worsened", "true reward gained"]]
    for kind, entry in part["refinement"].items():
        progress = (_with_interval(entry[f"progress_{when}_metres"], 3) for when in ("before", "after"))
        shares = (_with_interval(entry[key]) for key in ("improved", "worsened", "true_reward_gain"))
        rows.append([kind, f"{entry['refined']} of {entry['states']}", *progress, *shares])
    text = "The chosen candidate before and after refinement, both flown in the simulator; states it changed only."
    return Table("Does refinement help?", text, rows)


def plan(part: Part) -> Table:
    """Seconds of a plan, on the clock and of the processor, when they were measured."""
    computing = part.get("cpu_seconds", {})
    rows = [["imagined with", "seconds", "CPU seconds"]]
    rows += [
        [in_steps(steps), show(seconds), show(computing.get(steps))]
        for steps, seconds in part.items()
        if steps.isdigit()
    ]
    return Table("How long a plan takes", part.get("note", ""), rows)


def show(value: Any, decimals: int = 2) -> str:
    """A measured number with as many decimals as its column has; counts as they are; nothing for None."""
    if value is None:
        return ""
    return f"{round(value, decimals) + 0.0:.{decimals}f}" if isinstance(value, float) else str(value)


def _probability(p: float | None) -> str:
    if p is None:
        return ""
    return f"{p:.2g}" if p else "< 1e-300"


def _with_interval(figure: Part | None, decimals: int = 2) -> str:
    if figure is None or figure["mean"] is None:
        return ""
    mean, low, high = (show(number, decimals) for number in (figure["mean"], *figure["interval"]))
    return f"{mean} [{low}, {high}]"


def _way(name: str) -> str:
    """``without_value`` -> ``judged without E[V]``."""
    words = name.replace("_", " ").replace("value", "E[V]")
    return f"judged {words}" if words.startswith("without ") else f"judged with {words}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _steps(name: str, teacher: int) -> str:
    if name.split(",")[0] == str(teacher):
        return f"teacher, {name.replace(str(teacher), f'{teacher} steps')}"
    return in_steps(name)
