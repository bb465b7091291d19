"""How close was the imagined future to the real frames that followed? PSNR, beside that of repeating the last frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from robot_bridge.report.run import Imagined, Run


@dataclass(frozen=True)
class Fidelity:
    """PSNR in dB per imagined frame, over all views together; NaN where no real frame was recorded at that time.

    Attributes:
        imagined: ``(H,)`` of the imagined frames.
        repeated: ``(H,)`` of the last observed frame, the forecast that costs nothing.
    """

    imagined: np.ndarray
    repeated: np.ndarray


def fidelity(run: Run, imagined: Imagined) -> Fidelity:
    """Compare one plan's imagined frames with what the cameras then saw, at the model's resolution."""
    height, width = imagined.observed.shape[1:3]
    scores = np.full((2, len(imagined.times)), np.nan)
    for step, time in enumerate(imagined.times):
        real = run.real(float(time))
        if real is None or len(real) != len(imagined.observed):
            continue
        target = np.stack([cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA) for view in real])
        scores[:, step] = psnr(imagined.frames[step], target), psnr(imagined.observed, target)
    return Fidelity(*scores)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 arrays of one shape, 100 where they are equal."""
    error = float(np.mean((first.astype(float) - second.astype(float)) ** 2))
    return 100.0 if error == 0 else min(100.0, 10 * np.log10(255**2 / error))
