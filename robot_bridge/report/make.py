"""Make the whole report of a run directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from robot_bridge.errors import BridgeError
from robot_bridge.report.page import build_page
from robot_bridge.report.run import load_run
from robot_bridge.report.summary import summarise, write_summary
from robot_bridge.report.video import write_video


def make_report(directory: Path, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Write ``summary.json``, ``video.mp4`` and ``report.html`` into a run directory.

    Args:
        directory: What the bridge recorded.
        extra: Further entries of the summary; ``notes`` are added to those of the run.

    Returns:
        The summary.

    Raises:
        BridgeError: It cannot be written.
    """
    try:
        return _make(directory, extra)
    except OSError as error:
        raise BridgeError(f"no report in {directory}: {error}. Is the disk full?") from error


def _make(directory: Path, extra: Mapping[str, Any] | None) -> dict[str, Any]:
    run = load_run(directory)
    added = dict(extra or {})
    run.notes += added.pop("notes", [])
    summary = summarise(run, added)
    write_summary(directory / "summary.json", summary)
    with tqdm(total=len(run.plans), desc="report", unit="plan", disable=None, file=sys.stderr, leave=False) as bar:
        shown = write_video(run, directory / "video.mp4", bar.update)
    page = directory / "report.html"
    partial = page.with_suffix(".partial")
    partial.write_text(build_page(run, summary, directory / "video.mp4" if shown else None))
    os.replace(partial, page)
    return summary
