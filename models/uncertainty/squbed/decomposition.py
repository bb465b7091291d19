"""Total = aleatoric + epistemic (S-QUBED, Proposition 1, Algorithms 1 and 2), from embeddings alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import ModelsError
from models.uncertainty.squbed.vmf import VonMisesFisher, fit_vmf


@dataclass(frozen=True)
class Decomposition:
    """Entropies in nats; differential ones, so they may be negative.

    Attributes:
        aleatoric: h(Z | prompt): how much the prompt leaves open.
        epistemic: h(V | Z): how much the video model does not know, mean over the refined prompts.
        text_concentration: kappa of the refined prompts.
        video_concentrations: kappa of the videos of each refined prompt, mean over the regions.
    """

    aleatoric: float
    epistemic: float
    text_concentration: float
    video_concentrations: tuple[float, ...]

    @property
    def total(self) -> float:
        """h(V | prompt)."""
        return self.aleatoric + self.epistemic


def decompose(texts: np.ndarray, videos: Sequence[np.ndarray]) -> Decomposition:
    """Uncertainty of one prompt.

    Args:
        texts: ``(N, n)`` unit vectors of the refined prompts (or of whatever Z is).
        videos: For each of them ``(m, n')`` unit vectors of its videos, or ``(m, R, n')`` of R regions of them. Regions
            are taken as independent; the entropy is that of one region, on average, so that it does not grow with R.

    Raises:
        ModelsError: There are too few samples of something.
    """
    if len(texts) != len(videos):
        raise ModelsError(f"{len(texts)} refined prompts but videos of {len(videos)}")
    prompts, answers = fit_vmf(texts), [fit_regions(samples) for samples in videos]
    return Decomposition(
        aleatoric=prompts.entropy,
        epistemic=float(np.mean([region.entropy for answer in answers for region in answer])),
        text_concentration=prompts.concentration,
        video_concentrations=tuple(float(np.mean([region.concentration for region in answer])) for answer in answers),
    )


def fit_regions(samples: np.ndarray) -> list[VonMisesFisher]:
    """A fit for each region of videos ``(m, R, n')``, a single one of ``(m, n')``."""
    regions = samples[:, None] if samples.ndim == 2 else samples
    return [fit_vmf(regions[:, region]) for region in range(regions.shape[1])]


@dataclass(frozen=True)
class Projection:
    """Principal directions of a pool of embeddings; projected vectors are made unit vectors again.

    The pool is not centred: the vMF distribution is about directions from the origin, and the samples of a single
    prompt less their own mean have no direction left.

    Attributes:
        directions: ``(n, d)`` orthonormal rows.
    """

    directions: np.ndarray

    @classmethod
    def fit(cls, pool: np.ndarray, dimensions: int) -> Projection:
        """The ``dimensions`` strongest directions of ``(N, d)`` embeddings, all there are where that is fewer.

        Raises:
            ModelsError: The embeddings are not finite, or one is zero.
        """
        values, directions = np.linalg.eigh(_unit(pool).T @ _unit(pool))
        count = min(dimensions, int((values > 1e-9 * values[-1]).sum()))
        count = max(2, count)  # a vMF distribution needs two
        return cls(directions[:, ::-1][:, :count].T)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Unit vectors ``(N, n)`` of embeddings ``(N, d)``."""
        return _unit(_unit(vectors) @ self.directions.T)


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if vectors.ndim != 2 or vectors.shape[1] < 2 or not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise ModelsError(
            f"embeddings must be finite vectors (N, d >= 2) with a direction, got {vectors.shape} of lengths "
            f"{np.min(lengths, initial=0):g} to {np.max(lengths, initial=0):g}"
        )
    return vectors / lengths
