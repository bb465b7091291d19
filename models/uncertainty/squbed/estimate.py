"""S-QUBED over a list of prompts: sample, project, fit, take entropies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from models.uncertainty.squbed.decomposition import Decomposition, Projection, decompose
from models.uncertainty.squbed.interfaces import Task
from models.uncertainty.squbed.samples import Accuracy, Samples, SampleStore

AccuracyOf = Callable[[Task], Accuracy | None]


@dataclass(frozen=True)
class Dimensions:
    """To what embeddings are projected before the fit.

    Attributes:
        texts: n of the refined prompts.
        videos: n of the videos.
    """

    texts: int = 8
    videos: int = 8


@dataclass(frozen=True)
class Estimate:
    """The answer for one prompt.

    Attributes:
        task: The prompt.
        uncertainty: Aleatoric, epistemic, total.
        refined: The refined prompts.
        accuracy: By metric: of its videos where there is a reference, and ``given`` where the task says it.
    """

    task: Task
    uncertainty: Decomposition
    refined: tuple[str, ...]
    accuracy: Mapping[str, float]


def estimate(
    tasks: Sequence[Task],
    store: SampleStore,
    dimensions: Dimensions,
    accuracy_of: AccuracyOf = lambda task: None,
    say: Callable[[str, float], None] = lambda what, share: None,
) -> list[Estimate]:
    """Uncertainty of every prompt.

    The directions of the projection come from all prompts together, so estimates are comparable within one call; with
    other prompts beside it the same prompt gets slightly other numbers.

    Args:
        tasks: The prompts.
        store: Samples them, or remembers.
        dimensions: Of the projections.
        accuracy_of: Measures the videos of a task, None where it has no reference.
        say: Told what is done, and the share of it that is.
    """
    found: list[Samples] = []
    for index, task in enumerate(tasks):
        what = f"prompt {index + 1} of {len(tasks)}: {task.prompt}"
        found.append(store.samples(task, accuracy_of(task), partial(say, what)))
    texts = Projection.fit(np.concatenate([samples.texts for samples in found]), dimensions.texts)
    videos = Projection.fit(np.concatenate([np.concatenate(samples.videos) for samples in found]), dimensions.videos)
    return [
        Estimate(
            task,
            decompose(texts(samples.texts), [videos(some) for some in samples.videos]),
            samples.refined,
            {**samples.accuracy, **given(task)},
        )
        for task, samples in zip(tasks, found, strict=True)
    ]


def given(task: Task) -> dict[str, float]:
    """The accuracy that a task brings along, as a metric."""
    return {} if task.accuracy is None else {"given": task.accuracy}
