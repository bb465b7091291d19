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
from models.evaluation.walks import Walk, flow_map, guided_teacher, teacher

BATCHES = (1, 8)
PLANNER_BATCH = 8
"""The planner imagines its candidates in one batch: this size's ratios are the headline."""


def measure_speed(bundle: Bundle, footage: Footage, options: Options, say: Say) -> dict[str, Any]:
    """Median seconds from noise to latents; the ways alternate, so that whatever else runs hits all alike."""
    model, rounds = bundle.world_model, options.amounts.rounds
    slow = [teacher(options), guided_teacher(options)]
    walks = [*map(flow_map, options.step_counts), *slow]
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
        results["batches"][str(batch)] = _ratios(medians, slow, options)
    results |= results["batches"][str(PLANNER_BATCH)]["ratio"]
    results["teacher"] = {"steps": options.teacher_steps, "guidance": list(options.guidance)}
    results["rounds"] = rounds
    results["note"] = (
        f"median of {rounds} alternating runs on {torch.get_num_threads()} thread(s), from noise to latents; "
        f"headline: batch {PLANNER_BATCH}, over the teacher with guidance, which takes two passes per step"
    )
    return results


def _ratios(medians: dict[str, float], slow: list[Walk], options: Options) -> dict[str, Any]:
    without, guided = (
        {str(steps): round(medians[walk.name] / medians[str(steps)], 1) for steps in options.step_counts}
        for walk in slow
    )
    return {
        "milliseconds": {name: round(1e3 * value, 2) for name, value in medians.items()},
        "ratio": guided,
        "ratio_without_guidance": without,
    }
