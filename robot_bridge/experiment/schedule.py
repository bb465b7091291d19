"""Which trials there are, and which one a worker takes next."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from robot_bridge.experiment.methods import Method
from robot_bridge.experiment.tasks import Task
from robot_bridge.trials.store import TrialStore
from robot_bridge.trials.trial import UNDONE, Setup


@dataclass(frozen=True)
class Job:
    """One trial to be run. Jobs of one task and seed start from the same state, whatever the method."""

    suite: str
    method: Method
    task: Task
    seed: int

    @property
    def setup(self) -> Setup:
        """Its row in the store."""
        return Setup(
            self.suite,
            self.task.name,
            self.task.instruction,
            self.method.name,
            self.seed,
            in_distribution=self.task.in_distribution,
            run=f"runs/{self.suite}/{self.method.name}/{self.task.name}-{self.seed}",
        )


def all_jobs(suite: str, methods: Sequence[Method], tasks: Sequence[Task], seeds: Iterable[int]) -> list[Job]:
    """Every trial of an experiment.

    Method by method, so that a planner is loaded once; all tasks of a seed before the next seed, so that an unfinished
    experiment has some of every task.
    """
    return [Job(suite, method, task, seed) for method, seed, task in product(methods, seeds, tasks)]


def undone(jobs: Iterable[Job], store: TrialStore) -> list[Job]:
    """The jobs that a store does not hold yet, or holds as cut off or failed in error."""
    left = []
    for job in jobs:
        setup = job.setup
        found = store.find(setup.suite, setup.task, setup.method, setup.seed)
        if found is None or found.outcome in UNDONE:
            left.append(job)
    return left


class Schedule:
    """Hands out jobs to several workers."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = list(jobs)
        self._lock = threading.Lock()

    def take(self, method: Method | None) -> Job | None:
        """The next job, of the method whose planner a worker has loaded where any are left; None when all are taken."""
        with self._lock:
            if not self._jobs:
                return None
            own = next((job for job in self._jobs if job.method == method), self._jobs[0])
            self._jobs.remove(own)
            return own
