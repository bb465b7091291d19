"""The strictly proper scores C3's probes are trained with: least, on average, for the true frequencies alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor
from torch.nn import functional

Score = Callable[[Tensor, Tensor], Tensor]


def binary_cross_entropy(logits: Tensor, happened: Tensor) -> Tensor:
    """Mean of -log of what was said of what happened; both of one shape, ``happened`` 0 or 1."""
    return functional.binary_cross_entropy_with_logits(logits, happened)


def brier(logits: Tensor, happened: Tensor) -> Tensor:
    """Mean squared difference of probability and outcome; both of one shape."""
    return (logits.sigmoid() - happened).square().mean()


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean of -log of what was said of the class; logits ``(N, classes, ...)``, classes ``(N, ...)``."""
    return functional.cross_entropy(logits, classes)


def multi_brier(logits: Tensor, classes: Tensor) -> Tensor:
    """Mean over the elements of the squared differences, summed over the classes; shapes as in `cross_entropy`."""
    probabilities = logits.softmax(dim=1)
    chosen = probabilities.gather(1, classes.unsqueeze(1)).squeeze(1)
    return (probabilities.square().sum(1) - 2 * chosen + 1).mean()


BINARY: Mapping[str, Score] = {"bce": binary_cross_entropy, "brier": brier}
MULTI: Mapping[str, Score] = {"bce": cross_entropy, "brier": multi_brier}
"""Scores by the names of the configuration; cross-entropy is what BCE is for more than two classes."""
