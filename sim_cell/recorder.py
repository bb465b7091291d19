"""Records many episodes with several processes. What is recorded does not depend on how many there are."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass

from tqdm import tqdm

from sim_cell.cell import Cell
from sim_cell.dataset import Dataset
from sim_cell.episode import FRAMES, record


@dataclass(frozen=True)
class Summary:
    """What a recording did: episodes written and skipped (already there), frames, successes, seconds it took."""

    written: int
    skipped: int
    frames: int
    successes: int
    seconds: float


def record_dataset(
    dataset: Dataset, episodes: int, workers: int, minutes: float | None = None, longest: int = FRAMES
) -> Summary:
    """Record episodes 0 .. ``episodes`` - 1 that are not there yet; start no new one after ``minutes``.

    Args:
        dataset: Where to.
        episodes: How many in all.
        workers: Processes.
        minutes: None: no limit.
        longest: Most frames of an episode.

    Raises:
        DatasetMismatchError: The folder holds episodes of another recording.
        MissingAssetsError: The robot's meshes are not installed.
    """
    dataset.prepare()
    missing = [index for index in range(episodes) if not dataset.has(index)]
    began = time.monotonic()
    written = frames = successes = 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the workers: small arrays only lose by threads
    with tqdm(total=episodes, initial=episodes - len(missing), unit="episode", smoothing=0.05) as progress:
        for length, success in _run(dataset, missing, workers, minutes, longest):
            written, frames, successes = written + 1, frames + length, successes + success
            rate = frames / (time.monotonic() - began)
            progress.set_postfix_str(f"{rate:.1f} frames/s, {successes} of {written} succeed", refresh=False)
            progress.update()
    return Summary(written, episodes - len(missing), frames, successes, time.monotonic() - began)


def _run(
    dataset: Dataset, indices: list[int], workers: int, minutes: float | None, longest: int
) -> Iterator[tuple[int, bool]]:
    """Yield (frames, success) of each episode as it is written."""
    deadline = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    waiting = iter(indices)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(dataset, longest)) as pool:
        running = {pool.submit(_record_one, index) for _, index in zip(range(2 * workers), waiting, strict=False)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                    following = next(waiting, None) if time.monotonic() < deadline else None
                    if following is not None:
                        running.add(pool.submit(_record_one, following))
        finally:
            for future in running:
                future.cancel()


_cell: Cell
_dataset: Dataset
_longest: int


def _start_worker(dataset: Dataset, longest: int) -> None:
    global _cell, _dataset, _longest
    _cell, _dataset, _longest = Cell(*dataset.size), dataset, longest


def _record_one(index: int) -> tuple[int, bool]:
    episode = record(_cell, _dataset.seed, index, _dataset.look, _longest, _dataset.recipe)
    _dataset.write(index, episode)
    return len(episode.images), episode.success
