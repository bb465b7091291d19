"""Records of a long measurement, one JSON line each: what is written is never measured again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class Records:
    """The lines of one file that were measured under the same conditions.

    Attributes:
        done: Records by number.
    """

    def __init__(self, file: Path, conditions: dict[str, Any]) -> None:
        """Open or begin a file.

        Args:
            file: JSON lines; its folder is made.
            conditions: Lines measured under others are left alone. Plain JSON values.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._conditions = file, json.loads(json.dumps(conditions))
        self.done: dict[int, dict[str, Any]] = {}
        text = file.read_text() if file.exists() else ""
        for line in text.splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # torn by an interruption
                continue
            if record.pop("conditions") == self._conditions:
                self.done[record["number"]] = record
        if text and not text.endswith("\n"):
            with open(file, "a") as lines:
                print(file=lines)

    def add(self, record: dict[str, Any]) -> None:
        """Keep one more."""
        self.done[record["number"]] = record
        with open(self._file, "a") as lines:
            print(json.dumps({"conditions": self._conditions, **record}), file=lines, flush=True)
