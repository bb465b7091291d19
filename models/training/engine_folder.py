"""What a work folder already holds: the sizes and settings it was made with, and which stages are finished.

``config.json`` keeps the resolved configuration: the preset's sizes, and for every stage its settings and the weights
it was built on. A stage whose foundations were trained again since is outdated: its files are removed and it starts
anew. More recorded data does not outdate anything by itself.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
from pathlib import Path
from typing import Any

from models.errors import TrainingError
from models.training.config import LoopConfig, Preset
from models.training.engine_checkpoint import differing, refuse_other_settings, write_json
from models.training.names import foundations


class Standing(enum.Enum):
    """How far a stage is."""

    NEW = "new"
    BEGUN = "goes on where it stopped"
    FINISHED = "finished"
    OUTDATED = "built on older weights, starts anew"


class WorkFolder:
    """A work folder as the command line sees it.

    Raises:
        TrainingError: It was made with other sizes; the message names them.
    """

    def __init__(self, path: Path, preset: Preset) -> None:
        self.path, self.preset = path, preset
        self._file = path / "config.json"
        self._kept: dict[str, Any] = json.loads(self._file.read_text()) if self._file.is_file() else {"stages": {}}
        if differences := differing(self._kept.get("sizes", {}), self._sizes()):
            raise TrainingError(
                f"{path} was made with other sizes: {differences}. Choose another --out, or the sizes it was made with"
            )

    def standing(self, stage: str) -> Standing:
        """How far a trained stage is.

        Raises:
            TrainingError: It was trained with other settings.
        """
        if stage in self._kept["stages"] and self._kept["stages"][stage]["built_on"] != self._foundations(stage):
            return Standing.OUTDATED
        report = self.report(stage)
        if report:
            refuse_other_settings(stage, report["settings"], self.preset.loops[stage])
            if _enough(report, self.preset.loops[stage]):
                return Standing.FINISHED
        begun = any(self.path.glob(f"{stage}.checkpoint*"))
        return Standing.BEGUN if begun else Standing.NEW

    def begin(self, stage: str) -> None:
        """Note the settings of a stage that starts or goes on; an outdated one loses its files."""
        if self.standing(stage) is Standing.OUTDATED:
            for file in (*self.path.glob(f"{stage}.checkpoint*"), *self.path.glob(f"{stage}*.json")):
                file.unlink()
        settings = dataclasses.asdict(self.preset.loops[stage])
        stages = {**self._kept["stages"], stage: {"settings": settings, "built_on": self._foundations(stage)}}
        self._kept = {"preset": self.preset.name, "sizes": self._sizes(), "stages": stages}
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self._file, self._kept)

    def report(self, stage: str) -> dict[str, Any] | None:
        """What a stage reported when it finished, where its weights are still there."""
        file = self.path / f"{stage}.json"
        if not file.is_file() or not (self.path / f"{stage}.safetensors").is_file():
            return None
        return json.loads(file.read_text())

    def _sizes(self) -> dict[str, Any]:
        sizes = dataclasses.asdict(dataclasses.replace(self.preset, loops={}))
        return {name: value for name, value in sizes.items() if name not in ("name", "loops")}

    def _foundations(self, stage: str) -> dict[str, str]:
        return {other: fingerprint(self.path / f"{other}.safetensors") for other in foundations(stage)}


def fingerprint(file: Path) -> str:
    """SHA-256 of a file, empty when there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _enough(report: dict[str, Any], config: LoopConfig) -> bool:
    if config.steps is not None:
        return report["steps"] >= config.steps
    return report["seconds"] >= 60 * (config.minutes or 0)
