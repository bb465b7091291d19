"""Many small pictures on one PNG, each with its caption: what a person looks at to tell cameras apart."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from robot_bridge.errors import BridgeError

TILE = (480, 300)
CAPTION = 30
GAP = 8
_INK, _GREY = (30, 30, 30), (150, 150, 150)


def contact_sheet(pictures: Sequence[tuple[str, np.ndarray | None]], columns: int = 3) -> np.ndarray:
    """The sheet as an RGB array ``(H, W, 3)`` uint8.

    Args:
        pictures: Caption and RGB picture ``(h, w, 3)`` of any size; None where there is none.
        columns: Pictures beside each other.
    """
    columns = min(columns, max(len(pictures), 1))
    rows = -(-max(len(pictures), 1) // columns)
    step_x, step_y = TILE[0] + GAP, TILE[1] + CAPTION + GAP
    sheet = np.full((rows * step_y + GAP, columns * step_x + GAP, 3), 255, np.uint8)
    for index, (caption, picture) in enumerate(pictures):
        x, y = GAP + index % columns * step_x, GAP + index // columns * step_y
        cv2.putText(sheet, _fit(caption), (x, y + 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
        tile = sheet[y + CAPTION : y + CAPTION + TILE[1], x : x + TILE[0]]
        if picture is None:
            tile[:] = 245
            cv2.putText(tile, "no picture", (190, 155), cv2.FONT_HERSHEY_SIMPLEX, 0.6, _GREY, 1, cv2.LINE_AA)
            continue
        height, width = picture.shape[:2]
        scale = min(TILE[0] / width, TILE[1] / height)
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        tile[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=method)
    return sheet


def write_sheet(path: Path, sheet: np.ndarray) -> Path:
    """Write an RGB picture as PNG, whole or not at all.

    Raises:
        BridgeError: It cannot be written.
    """
    partial = path.with_name(f".{path.name}.png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(partial), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
            raise OSError("is the disk full?")
        os.replace(partial, path)
    except OSError as error:
        raise BridgeError(f"cannot write the picture {path}: {error}") from error
    return path


def show(path: Path) -> bool:
    """Open a picture with the system's viewer; False where there is no display or no viewer."""
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    display = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not display or shutil.which(opener) is None:
        return False
    subprocess.Popen([opener, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    return True


def _fit(caption: str) -> str:
    """A caption as wide as a tile; the end of a topic's name says more than its beginning."""
    return caption if len(caption) <= 54 else f"{caption[:12]}...{caption[-39:]}"
