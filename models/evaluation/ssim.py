"""Structural similarity (Wang et al. 2004): Gaussian window of 11 pixels, sigma 1.5, values in [0, 1].

A few lines of torch instead of a library: the map of every pixel is needed (as a perceptual error beside the
uncertainty), and thousands of small pictures go through it in one batch.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 11
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2
BORDER = WINDOW // 2


def ssim_map(first: Tensor, second: Tensor) -> Tensor:
    """Similarity ``(..., rows, columns)`` around every pixel of images ``(..., rows, columns, 3)`` in [0, 1].

    The mean over the colours; pictures are continued by reflection at their borders.
    """
    x, y = (image.movedim(-1, -3) for image in (first, second))
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    similarity = ((2 * mean_x * mean_y + C1) * (2 * covariance + C2)) / (
        (mean_x**2 + mean_y**2 + C1) * (variance_x + variance_y + C2)
    )
    return similarity.mean(-3)


def mean_ssim(similarity: Tensor) -> float:
    """Mean of maps ``(..., rows, columns)`` over the pixels whose whole window lies in the picture."""
    return similarity[..., BORDER:-BORDER, BORDER:-BORDER].mean().item()


def _blur(images: Tensor) -> Tensor:
    """Gaussian means of ``(..., rows, columns)`` as two matrix products, much faster than convolving small pictures."""
    return _window(images.shape[-2]).to(images) @ images @ _window(images.shape[-1]).to(images).T


def _window(size: int) -> Tensor:
    """Weights ``(size, size)`` of every pixel of a line in the mean around each; the line is reflected at its ends."""
    offsets = torch.arange(WINDOW) - BORDER
    weights = (-(offsets**2) / (2 * SIGMA**2)).exp()
    padded = functional.pad(torch.eye(size)[None], (BORDER, BORDER), mode="reflect")[0]
    return (padded.unfold(1, WINDOW, 1) @ (weights / weights.sum())).T
