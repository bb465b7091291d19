"""Runs the parts of an evaluation one by one: what is finished is kept, and one that fails does not lose the others."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.errors import ModelsError
from planner_server.errors import PlannerError


class Parts:
    """The parts of one evaluation, kept in ``OUT/parts``.

    Attributes:
        results: By part, what was measured.
        failed: By part, why it could not be measured.
        seconds: By part, how long it took when it was measured.
    """

    def __init__(self, out: Path, key: dict[str, Any]) -> None:
        """Open the folder of an evaluation.

        Args:
            out: Created when missing.
            key: What the results of every part depend on. Plain JSON values.
        """
        self.folder = out / "parts"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = key
        self.results: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def run(self, name: str, options: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> None:
        """Measure a part, or take what an earlier run with the same key and options kept of it."""
        file = self.folder / f"{name}.json"
        key = json.loads(json.dumps({**self._key, **options}))
        kept = _kept(file, key)
        if kept is None:
            begun = time.perf_counter()
            try:
                results = measure()
            except (PlannerError, ModelsError) as error:
                self.failed[name] = str(error)
                return
            except Exception as error:  # one broken part must not lose hours of the others
                self.failed[name] = f"{type(error).__name__}: {error}"
                (self.folder / f"{name}.failed.txt").write_text(traceback.format_exc())
                return
            kept = {"key": key, "seconds": round(time.perf_counter() - begun, 1), "results": results}
            partial = file.with_suffix(".partial")
            partial.write_text(json.dumps(kept, indent=1) + "\n")
            partial.replace(file)
        self.results[name], self.seconds[name] = kept["results"], kept["seconds"]


def _kept(file: Path, key: dict[str, Any]) -> dict[str, Any] | None:
    try:
        kept = json.loads(file.read_text())
        return kept if kept["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
