"""Is the scene as it was at the first trial? Reference pictures, laid over the present ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from robot_bridge.bags.contact_sheet import contact_sheet, write_sheet

WIDTH = 480
"""Pixels to which pictures are brought before they are kept or compared."""
ALIKE = 0.6
"""Similarity of the worst place above which scenes usually look reset; the operator decides."""
PLACE = 48
"""Edge of what counts as a place, pixels."""
Pictures = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Likeness:
    """How alike two pictures are; 1 is equal.

    Attributes:
        overall: Mean structural similarity.
        worst: The lowest mean over a place of `PLACE` pixels: a small thing that moved hardly changes the overall one.
        where: Centre of that place, pixels ``(x, y)``.
    """

    overall: float
    worst: float
    where: tuple[int, int]


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

    def compare(self, pictures: Pictures, sheet: Path) -> dict[str, Likeness]:
        """Write reference, present and their overlay side by side, the worst place marked; return how alike they are.

        Raises:
            BridgeError: The sheet cannot be written.
        """
        kept, rows, found = self.load(), list[tuple[str, np.ndarray | None]](), dict[str, Likeness]()
        for role, picture in pictures.items():
            if role not in kept:
                continue
            then, now = kept[role], cv2.resize(scaled(picture), kept[role].shape[1::-1], interpolation=cv2.INTER_AREA)
            found[role] = likeness(then, now)
            both = cv2.addWeighted(then, 0.5, now, 0.5, 0.0)
            if found[role].worst < ALIKE:
                (x, y), half = found[role].where, PLACE // 2
                cv2.rectangle(both, (x - half, y - half), (x + half, y + half), (255, 0, 0), 2)
            rows += [(f"{role}: reference", then), (f"{role}: now, similarity {found[role].overall:.2f}", now)]
            rows += [(f"{role}: both; worst place {found[role].worst:.2f}", both)]
        write_sheet(sheet, contact_sheet(rows, columns=3))
        return found


def scaled(picture: np.ndarray) -> np.ndarray:
    """A picture ``(H, W, 3)`` at the common width."""
    height, width = picture.shape[:2]
    return cv2.resize(picture, (WIDTH, max(round(height * WIDTH / width), 1)), interpolation=cv2.INTER_AREA)


def likeness(one: np.ndarray, other: np.ndarray) -> Likeness:
    """How alike two RGB pictures of one shape are."""
    every = similarity(one, other)
    places = cv2.blur(every, (PLACE, PLACE))
    y, x = np.unravel_index(int(places.argmin()), places.shape)
    return Likeness(float(every.mean()), float(places.min()), (int(x), int(y)))


def similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Structural similarity (Wang et al. 2004) ``(H, W)`` of two RGB pictures ``(H, W, 3)``, in grey, 1 where equal.

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
    return np.asarray(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
