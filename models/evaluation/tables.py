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
        cells = [entry["psnr"], entry["ssim"], *([entry["lpips"]] if with_lpips else [])]
        cells += [entry["psnr_changed"], entry["psnr_changed_last"], *(by_view[view] for view in views)]
        cells += [entry["sharpness_to_teacher"], entry["sharpness_to_truth"]]
        cells += [agreement.get("same_noise"), agreement.get("other_noise")]
        rows.append([name, *map(show, cells)])
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
                    cells = (figures["psnr"], figures["ssim"], figures["psnr_changed"])
                    rows.append([frames, str(clips), way, *map(show, cells)])
    return Table("Far ahead", _sentence(part["note"]), rows)


def speed(part: Part) -> Table:
    """Ratios and milliseconds."""
    rows = [["batch", "steps", "ms", "over the teacher with guidance", "over the teacher without"]]
    for batch, entry in part["batches"].items():
        for name, milliseconds in entry["milliseconds"].items():
            ratios = (entry["ratio"].get(name), entry["ratio_without_guidance"].get(name))
            rows.append([batch, _steps(name, part["teacher"]["steps"]), show(milliseconds), *map(show, ratios)])
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
        rows.append([name, str(entry["clips"]), *(show(entry[key]) for key in keys)])
    for view, ece in part["ece_by_view"].items():
        rows.append([f"{view} view", "", show(ece), show(part["ece_moving_by_view"][view]), *[""] * 4])
    for frame, (ece, moving) in enumerate(zip(part["ece_by_frame"], part["ece_moving_by_frame"], strict=True), start=1):
        rows.append([f"frame {frame}", "", show(ece), show(moving), *[""] * 4])
    return Table("Is the uncertainty calibrated?", part["note"], rows)


def correlation(part: Part) -> Table:
    """Correlation of entropy with errors."""
    rows = [["entropy with", "level", "Pearson", "Spearman", "p", "n"]]
    for error in ("latent", "perceptual"):
        entry = part[f"entropy_{error}_error"]
        name = "latent error" if error == "latent" else f"perceptual error ({entry['error']})"
        within = entry["within_clips"]
        for level, cells in (
            ("moving cells", (entry["pearson"], entry["spearman"], None, entry["cells"])),
            ("inside single clips, moving cells", (None, within["spearman"], within["p"], within["n"])),
            ("clip means", [entry["per_clip"][key] for key in ("pearson", "spearman", "p", "n")]),
            ("episode means", [entry["per_episode"][key] for key in ("pearson", "spearman", "p", "n")]),
            *((f"moving cells, {view} view", (None, value, None, None)) for view, value in entry["by_view"].items()),
            ("all cells", (entry["all_cells"]["pearson"], entry["all_cells"]["spearman"], None, None)),
        ):
            rows.append([name, level, *map(show, cells)])
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
        cells = [entry["per_episode"], *entry["by_score"].values(), entry["mean_h"], entry["mean_error"]]
        rows.append([name, str(entry["clips"]), show(entry["auroc"]), f"{low} to {high}", *map(show, cells)])
    text = (
        f"Clips of unfamiliar recordings told from {part['clips']} familiar ones by one number each: {part['score']}; "
        "beside it the other scores one might take. Familiarity is about the newest observed frame, every other score "
        "about the imagined video. The interval draws whole episodes again. Familiar: mean h "
        f"{show(part['mean_h'])}, mean error {show(part['mean_error'])}."
    )
    return Table("Does it notice the unfamiliar?", text, rows)


def reward(part: Part) -> Table:
    """The value head."""
    rows = [["figure", "value"]]
    keys = ("ece", "mce", "success_auc", "rank correlation", "mean absolute error")
    rows += [[key.replace("success_auc", "AUC, success against failure"), show(part[key])] for key in keys]
    rows.append(["mean absolute error of a constant", show(part["mean absolute error of the constant mean"])])
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
    groups |= {f"candidates {which}": entry for which, entry in part["by_candidates"].items()}
    groups |= {f"judged by {way.replace('_', ' ')}": entry for way, entry in part["ways"].items()}
    groups |= {f"{view} view alone": entry for view, entry in part["views"].items()}
    groups["drawn blindly"] = part["random"]
    keys = ("kendall_tau", "kendall_tau_progress", "top_third_rate", "regret", "progress_metres")
    rows = [["", "states", "Kendall's tau", "tau with progress", "in the best third", "regret", "progress [m]"]]
    for name, entry in groups.items():
        states = max(figure["states"] for figure in entry.values())
        rows.append([name, str(states), *(_with_interval(entry.get(key)) for key in keys)])
    text = f"{part['note']} {part['candidates']} candidates in a state; in brackets the 95 % interval over states."
    return Table("Are candidates ranked as the simulator ranks them?", text, rows)


def refinement(part: Part) -> Table:
    """What the local planner did to the winners, in the simulator."""
    rows = [["states", "changed", "progress before [m]", "after [m]", "improved", "worsened", "true reward gained"]]
    keys = ("progress_before_metres", "progress_after_metres", "improved", "worsened", "true_reward_gain")
    for kind, entry in part["refinement"].items():
        rows.append([kind, f"{entry['refined']} of {entry['states']}", *(_with_interval(entry[key]) for key in keys)])
    text = "The chosen candidate before and after refinement, both flown in the simulator; states it changed only."
    return Table("Does refinement help?", text, rows)


def plan(part: Part) -> Table:
    """Seconds of a plan, when they were measured."""
    rows = [["steps", "seconds"], *([steps, show(seconds)] for steps, seconds in part.items() if steps.isdigit())]
    return Table("How long a plan takes", part.get("note", ""), rows)


def show(value: Any) -> str:
    """A number with as many digits as mean something; nothing for None."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def _with_interval(figure: Part | None) -> str:
    if figure is None or figure["mean"] is None:
        return ""
    low, high = figure["interval"]
    return f"{show(figure['mean'])} [{show(low)}, {show(high)}]"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


def _steps(name: str, teacher: int) -> str:
    if name.split(",")[0] == str(teacher):
        return f"teacher, {name.replace(str(teacher), f'{teacher} steps')}"
    return in_steps(name)
