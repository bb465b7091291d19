"""Writes an evaluation down: for programs, for people, and for a bundle's card."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from models.evaluation.card import card
from models.evaluation.media import Media
from models.evaluation.page import page


def write_report(results: dict[str, Any], media: Media, out: Path) -> Path:
    """Write ``report.json``, ``card.md`` and a self-contained ``report.html``; returns the last.

    Args:
        results: What `evaluate_models` measured; may also hold ``bundle``, ``ranking``, ``plan_seconds``, ``machine``.
        media: Pictures and videos.
        out: Folder, created when missing.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(_plain(results), indent=1) + "\n")
    (out / "card.md").write_text(card(results))
    file = out / "report.html"
    file.write_text(page(results, media))
    return file


def _plain(value: Any) -> Any:
    """The same without NaN and infinity, which JSON does not know: null."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
