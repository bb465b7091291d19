"""Several of C3's probes trained at once, on the same clips: they compare better, and cost half as much."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from safetensors.torch import load_file, save_file

from models.training.config import LoopConfig
from models.training.engine_checkpoint import write_json
from models.training.loop import train
from models.training.names import PROBES
from models.training.probe_stage import ProbeStage
from models.training.workshop import Workshop

TOGETHER = "probes"


def train_together(workshop: Workshop, stages: Sequence[str], config: LoopConfig) -> None:
    """Train detached probes on the same clips; leaves the files that `vidplan train probe` leaves for each.

    Stopped or killed, it goes on where it was; finished, it does nothing.

    Args:
        workshop: A finished run with settings for probes (see `config.with_probes`).
        stages: Names of `names.PROBES`.
        config: Settings of the common loop.

    Raises:
        StoppedError: SIGINT or SIGTERM came; everything is saved.
    """
    folder = workshop.folder
    if all((folder / f"{stage}.safetensors").is_file() for stage in stages):
        return
    kinds = [PROBES[stage] for stage in stages]
    report = train(ProbeStage(workshop, *kinds, name=TOGETHER), config, folder)
    weights = load_file(folder / f"{TOGETHER}.safetensors")
    for index, stage in enumerate(stages):
        prefix = f"probes.{index}."
        own = {f"probe.{name.removeprefix(prefix)}": w for name, w in weights.items() if name.startswith(prefix)}
        write_json(folder / f"{stage}.json", _own_report(report, stage))
        save_file(own, folder / f"{stage}.safetensors")


def _own_report(report: dict[str, Any], stage: str) -> dict[str, Any]:
    own = {**report, "stage": stage, "held_out": report["held_out"][stage]}
    own["notes"] = {
        "probe": report["notes"]["probes"][stage],
        "end_to_end": False,
        "together": list(report["notes"]["probes"]),
    }
    return json.loads(json.dumps(own))
