"""Is the scene as it was at the first trial? Reference pictures, laid over the present ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from robot_bridge.contact_sheet import contact_sheet, write_sheet

WIDTH = 480
"""Pixels to which pictures are brought before they are kept or compared."""
ALIKE = 0.9
"""Similarity above which scenes usually look reset; the operator decides."""
Pictures = Mapping[str, np.ndarray]


class Reference:
    """Reference pictures of one task, a PNG per camera in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, pictures: Pictures) -> None:
        """Keep these pictures, camera role -> RGB ``(H, W, 3)``, as what the scene must look like.

        Raises:
            BridgeError: They cannot be written.
        """
        for role, picture in pictures.items():
            write_sheet(self.folder / f"{role}.png", scaled(picture))

    def load(self) -> dict[str, np.ndarray]:
        """The kept pictures, RGB; empty where there are none yet."""
        kept = {path.stem: cv2.imread(str(path)) for path in sorted(self.folder.glob("*.png"))}
        return {role: cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB) for role, bgr in kept.items() if bgr is not None}

    def compare(self, pictures: Pictures, sheet: Path) -> dict[str, float]:
        """Write reference, present and their overlay side by side, and return each camera's `similarity`.

        Raises:
            BridgeError: The sheet cannot be written.
        """
        kept, rows, found = self.load(), list[tuple[str, np.ndarray | None]](), dict[str, float]()
        for role, picture in pictures.items():
            if role not in kept:
                continue
            then, now = kept[role], cv2.resize(scaled(picture), kept[role].shape[1::-1], interpolation=cv2.INTER_AREA)
            found[role] = similarity(then, now)
            rows += [(f"{role}: reference", then), (f"{role}: now, similarity {found[role]:.2f}", now)]
            rows += [(f"{role}: both, half and half", cv2.addWeighted(then, 0.5, now, 0.5, 0.0))]
        write_sheet(sheet, contact_sheet(rows, columns=3))
        return found


def scaled(picture: np.ndarray) -> np.ndarray:
    """A picture ``(H, W, 3)`` at the common width."""
    height, width = picture.shape[:2]
    return cv2.resize(picture, (WIDTH, max(round(height * WIDTH / width), 1)), interpolation=cv2.INTER_AREA)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004) of two RGB pictures of one shape, in grey, 1 for equal ones.

    Gaussian window of 1.5 pixels, K1 = 0.01, K2 = 0.03, as published.
    """
    a, b = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64) for picture in (one, other))

    def blurred(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (11, 11), 1.5)

    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))).mean())
