"""A short film of a trial: the left camera, and under it what the plan being followed had imagined."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robot_bridge.report.drawing import INK, MUTED, PAPER, fit, font
from robot_bridge.report.run import Imagined, Run, load_run
from robot_bridge.report.video import shorten, winner

SPEED = 2
"""Times as fast as the robot's clock; frames come at 5 Hz."""
SCENE, TILE, STRIP_LENGTH = (480, 288), (96, 58), 5
TOP, GAP = 44, 20
SIZE = (SCENE[0], TOP + SCENE[1] + GAP + TILE[1] + 2)
VIEW = 0


def film(folder: Path, name: str) -> bool:
    """Write ``name`` (h264) into a run directory; False where the run has no pictures."""
    import av

    run = load_run(folder)
    stamps = sorted(int(path.stem) for path in (folder / "frames").glob("*.jpg") if path.stem.isdigit())
    if not stamps:
        return False
    partial = folder / f"{name}.partial.mp4"
    with av.open(str(partial), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=5 * SPEED, options={"crf": "26", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for picture in _pictures(run, [stamp / 1e9 for stamp in stamps]):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    os.replace(partial, folder / name)
    return True


def drop_pictures(folder: Path) -> None:
    """Remove the single pictures of a run, some 100 MB a minute; events, commands and states stay."""
    for name in ("frames", "plans"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _pictures(run: Run, times: list[float]) -> Iterator[np.ndarray]:
    plans = [plan for plan in run.plans if plan.get("accepted", True) and plan.get("times")]
    at = -1
    for time in times:
        while at + 1 < len(plans) and plans[at + 1]["times"][0] <= time:
            at += 1
        real = run.real(time)
        if real is not None:
            yield _draw(run, real[VIEW], plans[at] if at >= 0 else None, time)


def _draw(run: Run, scene: np.ndarray, plan: dict[str, Any] | None, time: float) -> np.ndarray:
    from PIL import Image, ImageDraw

    canvas = np.full((SIZE[1], SIZE[0], 3), PAPER, np.uint8)
    canvas[TOP : TOP + SCENE[1]] = fit(scene, *SCENE)
    imagined = run.imagined(plan) if plan else None
    if imagined is not None:
        _strip(canvas, imagined)
    image = Image.fromarray(canvas)
    pen = ImageDraw.Draw(image)
    pen.text((6, 4), shorten(str(run.meta.get("instruction", "")), 44), INK, font(15, bold=True))
    pen.text((SIZE[0] - 6, 6), f"{time - run.start:.1f} s, shown {SPEED}x", MUTED, font(12), anchor="ra")
    if plan is not None:
        chosen = winner(plan)
        facts = [f"plan {plan['plan']}", str(chosen.get("name", "?")) + (" + refined" if plan.get("refined") else "")]
        facts += [f"reward {chosen['reward']:+.2f}"] if "reward" in chosen else []
        facts += [f"uncertainty {plan['uncertainty']:.2f}"] if plan.get("uncertainty") is not None else []
        pen.text((6, 24), "   ·   ".join(facts), MUTED, font(12))
    if imagined is not None:
        pen.text((6, TOP + SCENE[1] + 3), "imagined by this plan; unsure where it is red", MUTED, font(11))
    return np.asarray(image)


def _strip(canvas: np.ndarray, imagined: Imagined) -> None:
    shown = np.linspace(0, len(imagined.times) - 1, STRIP_LENGTH).round().astype(int)
    for column, frame in enumerate(shown):
        x, y = column * TILE[0], TOP + SCENE[1] + GAP
        canvas[y : y + TILE[1], x : x + TILE[0]] = fit(imagined.composites[frame, VIEW], *TILE)
