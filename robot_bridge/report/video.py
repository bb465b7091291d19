"""`video.mp4`: per plan, what the robot saw, what it imagined, where it was unsure, and what then happened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robot_bridge.report.drawing import BLUE, GREEN, INK, LINE, MUTED, PAPER, RED, fit, font
from robot_bridge.report.run import Imagined, Run
from robot_model.conventions import VIDEO_PERIOD

WIDTH, TILE, GAP, LEFT, TOP = 960, (212, 127), 8, 72, 104
LINGER = 2
"""Extra frames for which the end of a plan stays on screen."""


def write_video(run: Run, path: Path, progress: Callable[[], object] = lambda: None) -> bool:
    """Write the video of a run (h264, 5 fps, real time); False when no plan has pictures.

    Args:
        run: The run.
        path: Target; written beside it first and renamed when complete.
        progress: Called after each plan.
    """
    import av

    partial = path.with_suffix(".partial.mp4")
    plans = [(plan, pictures) for plan in run.plans if (pictures := run.imagined(plan)) is not None]
    if not plans:
        return False
    height = TOP + len(plans[0][1].observed) * (TILE[1] + GAP) + 40
    with av.open(str(partial), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=5, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, height + height % 2, "yuv420p"
        for plan, pictures in plans:
            for picture in _plan_frames(run, plan, pictures, (stream.height, WIDTH)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            progress()
        container.mux(stream.encode(None))
    os.replace(partial, path)
    return True


def _plan_frames(run: Run, plan: dict[str, Any], pictures: Imagined, size: tuple[int, int]) -> Iterator[np.ndarray]:
    steps = len(pictures.times)
    for step in [*range(steps), *[steps - 1] * LINGER]:
        yield draw(run, plan, pictures, step, size)


def draw(run: Run, plan: dict[str, Any], pictures: Imagined, step: int, size: tuple[int, int]) -> np.ndarray:
    """One picture of the video ``(height, width, 3)``: a row per view, a column per question."""
    from PIL import Image, ImageDraw

    canvas = np.full((*size, 3), PAPER, np.uint8)
    real = run.real(float(pictures.times[step]))
    rows = len(pictures.observed)
    for view in range(rows):
        columns = [pictures.observed[view], pictures.frames[step, view], pictures.composites[step, view]]
        columns += [real[view]] if real is not None and len(real) == rows else []
        for column, tile in enumerate(columns):
            x, y = _corner(column, view)
            canvas[y : y + TILE[1], x : x + TILE[0]] = fit(tile, *TILE)
    image = Image.fromarray(canvas)
    pen = ImageDraw.Draw(image)
    _captions(pen, run, plan, pictures, step)
    for view, name in enumerate(run.views[:rows]):
        pen.text((LEFT - 12, _corner(0, view)[1] + TILE[1] / 2), name, INK, font(14), anchor="rm")
        if real is None:
            x, y = _corner(3, view)
            pen.rectangle((x, y, x + TILE[0] - 1, y + TILE[1] - 1), outline=LINE)
            pen.text((x + TILE[0] / 2, y + TILE[1] / 2), "not recorded", MUTED, font(13), anchor="mm")
    _timeline(pen, run, pictures, step, size)
    return np.asarray(image)


def _captions(pen: Any, run: Run, plan: dict[str, Any], pictures: Imagined, step: int) -> None:
    ahead = pictures.times[step] - seen_at(plan, pictures)
    chosen = winner(plan)
    pen.text((LEFT, 16), f"plan {plan['plan']}", INK, font(20, bold=True))
    pen.text((WIDTH - 16, 20), shorten(str(run.meta.get("instruction", "")), 56), MUTED, font(15), anchor="ra")
    facts = [f"chosen {chosen.get('name', '?')}" + (" + refined" if plan.get("refined") else "")]
    facts += [f"reward {chosen['reward']:+.3f}"] if "reward" in chosen else []
    facts += [f"uncertainty {plan['uncertainty']:.2f}"] if plan.get("uncertainty") is not None else []
    facts += [f"{plan['latency_ms']:.0f} ms"] if plan.get("latency_ms") is not None else []
    pen.text((LEFT, 46), "   ·   ".join(facts), INK, font(15))
    if not plan.get("accepted", True):
        pen.text((WIDTH - 16, 46), "not executed: refused by the guard", RED, font(15), anchor="ra")
    real = "what then happened" if run.meta.get("mode") != "dry_run" else "what was recorded then"
    heads = [("seen", INK), (f"imagined, +{ahead:.1f} s", BLUE), ("unsure where it is red", RED), (real, GREEN)]
    for column, (text, colour) in enumerate(heads):
        pen.text((_corner(column, 0)[0], TOP - 8), text, colour, font(14, bold=True), anchor="ls")


def _timeline(pen: Any, run: Run, pictures: Imagined, step: int, size: tuple[int, int]) -> None:
    """Thin bar at the foot: where in the run this moment lies."""
    y, right = size[0] - 20, WIDTH - 16
    pen.line((LEFT, y, right - 70, y), LINE, 3)
    if run.seconds > 0:
        share = float(np.clip((pictures.times[step] - run.start) / run.seconds, 0, 1))
        pen.line((LEFT, y, LEFT + share * (right - 70 - LEFT), y), BLUE, 3)
    pen.text((right, y), f"{pictures.times[step] - run.start:.1f} s", MUTED, font(13), anchor="rm")


def _corner(column: int, row: int) -> tuple[int, int]:
    return LEFT + column * (TILE[0] + GAP), TOP + row * (TILE[1] + GAP)


def seen_at(plan: dict[str, Any], pictures: Imagined) -> float:
    """Stamp of the newest frame the planner saw; a committed prefix may lie between it and the imagined frames."""
    return float(plan.get("observation_stamp") or pictures.times[0] - VIDEO_PERIOD)


def winner(plan: dict[str, Any]) -> dict[str, Any]:
    """The chosen candidate of a plan's event, empty where the event has none."""
    candidates, chosen = plan.get("candidates") or [], plan.get("chosen")
    return dict(candidates[chosen]) if isinstance(chosen, int) and 0 <= chosen < len(candidates) else {}


def shorten(text: str, length: int) -> str:
    """``text`` cut to ``length`` characters with an ellipsis."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"
