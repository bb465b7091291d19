"""How fast the flow map imagines, as a ratio to its teacher in the same run."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from models.bundle import Bundle
from models.evaluation.footage import Footage
from models.evaluation.options import Options
from models.evaluation.say import Say
from models.evaluation.walks import flow_map, guidance_of, teachers

BATCHES = (1, 8)
PLANNER_BATCH = 8
"""The planner imagines its candidates in one batch: this size's ratios are the headline."""


def measure_speed(bundle: Bundle, footage: Footage, options: Options, say: Say) -> dict[str, Any]:
    """Median seconds from noise to latents; the ways alternate, so that whatever else runs hits all alike."""
    model, rounds = bundle.world_model, options.amounts.rounds
    teacher, *without = teachers(model, options.teacher_steps)
    unguided = without[0] if without else None
    walks = [*map(flow_map, options.step_counts), teacher, *without]
    results: dict[str, Any] = {"batches": {}}
    for batch in BATCHES:
        clips = footage.clips(footage.spread(BATCHES[-1])[:batch])
        noise = model.initial_noise(clips.history, torch.Generator().manual_seed(options.seed))
        seconds: dict[str, list[float]] = {walk.name: [] for walk in walks}
        for number in range(rounds + 1):
            say(f"speed: batch {batch}", number / (rounds + 1))
            for walk in walks:
                if number == 0 and walk.teacher:
                    continue  # the first round warms up, which the flow map does for both
                began = time.perf_counter()
                walk(model, clips.history, clips.history_poses, clips.actions, noise)
                seconds[walk.name].append(time.perf_counter() - began)
        medians = {walk.name: float(np.median(seconds[walk.name][0 if walk.teacher else 1 :])) for walk in walks}
        results["batches"][str(batch)] = _ratios(medians, teacher.name, unguided.name if unguided else None, options)
    results |= results["batches"][str(PLANNER_BATCH)]["ratio"]
    results["teacher"] = {"steps": options.teacher_steps, "guidance": guidance_of(model)}
    results["rounds"] = rounds
    results["note"] = (
        f"median of {rounds} alternating runs on {torch.get_num_threads()} thread(s), from noise to latents; "
        f"headline: batch {PLANNER_BATCH}, against the teacher as it samples best"
        + (" (with guidance, two passes per step)" if unguided else "")
    )
    return results


def _ratios(medians: dict[str, float], teacher: str, unguided: str | None, options: Options) -> dict[str, Any]:
    def over(name: str) -> dict[str, float]:
        return {str(steps): round(medians[name] / medians[str(steps)], 1) for steps in options.step_counts}

    figures: dict[str, Any] = {
        "milliseconds": {name: round(1e3 * value, 2) for name, value in medians.items()},
        "ratio": over(teacher),
    }
    if unguided:
        figures["ratio_without_guidance"] = over(unguided)
    return figures
