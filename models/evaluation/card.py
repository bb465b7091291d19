"""A report's figures as Markdown, for a bundle's CARD.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.evaluation import tables
from models.evaluation.page import SECTIONS


def card(results: Mapping[str, Any]) -> str:
    """Short tables: the targets first."""
    bundle, data = results.get("bundle", {}), results.get("data", {})
    lines = []
    if data:
        weights = f", weights `{str(bundle['sha256'])[:12]}`" if "sha256" in bundle else ""
        lines = [f"Measured on {data['episodes']} held-out episodes ({data['frames']} frames){weights}.", ""]
    shown = [tables.targets(results)]
    shown += [table(results[part]) for part, drawn in SECTIONS for table in drawn.tables if part in results]
    for table in shown:
        lines += [f"### {table.title}", "", *([table.text, ""] if table.text else [])]
        head, *rows = table.rows
        lines += [_row(head), _row(["---"] * len(head)), *map(_row, rows), ""]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
