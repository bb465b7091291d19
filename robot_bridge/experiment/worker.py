"""A worker runs one trial after the other and writes each into the store at once; an experiment is some workers."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from robot_bridge.errors import BridgeError
from robot_bridge.experiment.conduct import conduct
from robot_bridge.experiment.errors import ExperimentError, Stopped
from robot_bridge.experiment.film import drop_pictures, film
from robot_bridge.experiment.methods import Method
from robot_bridge.experiment.progress import Progress
from robot_bridge.experiment.schedule import Job, Schedule
from robot_bridge.experiment.station import Station
from robot_bridge.trials.figures import VIDEO
from robot_bridge.trials.runner import TrialRunner
from robot_bridge.trials.store import StoreError, TrialStore
from robot_bridge.trials.trial import Labels, Trial

ERRORS = 3
"""Trials in a row that may end in an error before a worker gives up."""
MakeStation = Callable[[int, threading.Event], Station]


class Worker:
    """Takes jobs until there are none. Used from one thread."""

    def __init__(
        self,
        schedule: Schedule,
        store: Path,
        make_station: Callable[[], Station],
        patience: float,
        progress: Progress,
        keep_pictures: bool = False,
    ) -> None:
        """Keep what it needs.

        Args:
            schedule: The jobs.
            store: Trial store; recordings go beside it.
            make_station: Makes a place to work; again after an error.
            patience: See `conduct`.
            progress: Is told of every trial.
            keep_pictures: Whether a run's single pictures stay once its film is made.
        """
        self._schedule, self._store_path, self._make_station = schedule, store, make_station
        self._patience, self._progress, self._keep_pictures = patience, progress, keep_pictures
        self._station: Station | None = None
        self._method: Method | None = None
        self._errors = 0

    def run(self) -> None:
        """Work.

        Raises:
            ChildError: A program does not start.
            ExperimentError: Trials end in errors again and again.
            Stopped: The experiment shall end.
        """
        try:
            with TrialStore(self._store_path) as store:
                while (job := self._schedule.take(self._method)) is not None:
                    self._trial(store, job, self._ready(job.method))
        finally:
            self._tear_down()

    def _ready(self, method: Method) -> Station:
        if self._station is None:
            self._station = self._make_station()
        if method != self._method:
            self._progress.say(f"loading {method.name} ...")
            self._method = None
            self._station.use(method)
            self._method = method
        self._station.check()
        return self._station

    def _trial(self, store: TrialStore, job: Job, station: Station) -> None:
        try:
            trial = store.begin(job.setup)
        except StoreError as error:  # another experiment on this store was faster
            self._progress.say(str(error))
            return
        folder = store.path.parent / str(trial.setup.run)
        shutil.rmtree(folder, ignore_errors=True)  # of an attempt that was cut off
        runner = station.runner(job, trial.id)
        try:
            judgement = conduct(job, folder, station.cell, runner, self._patience, station.check)
            figures = runner.figures()
        except BridgeError as error:
            self._failed(store, trial, runner, error)
        except BaseException:
            store.interrupt(trial.id)
            raise
        else:
            self._errors = 0
            trial = store.end(trial.id, judgement.outcome, figures, judgement.labels)
            self._progress.trial(trial)
            self._film(folder)

    def _film(self, folder: Path) -> None:
        try:
            if film(folder, VIDEO) and not self._keep_pictures:
                drop_pictures(folder)
        except (OSError, ValueError) as error:  # FFmpeg's errors are of these kinds
            self._progress.say(f"no film of {folder}: {error}")

    def _failed(self, store: TrialStore, trial: Trial, runner: TrialRunner, error: BridgeError) -> None:
        """Note it and begin anew with fresh programs."""
        trial = store.end(trial.id, "error", runner.figures(), Labels(note=str(error).splitlines()[0]))
        self._progress.trial(trial)
        self._progress.say(str(error))
        self._tear_down()
        self._errors += 1
        if self._errors >= ERRORS:
            raise ExperimentError(f"{ERRORS} trials in a row ended in an error, the last one with: {error}")

    def _tear_down(self) -> None:
        if self._station is not None:
            self._station.close()
        self._station = self._method = None


def work_off(
    jobs: Sequence[Job],
    store: Path,
    make_station: MakeStation,
    patience: float,
    progress: Progress,
    workers: int = 1,
    keep_pictures: bool = False,
) -> None:
    """Run jobs with several workers, until all are done, or one worker fails, or Ctrl-C.

    Args:
        jobs: The trials, in order.
        store: Trial store.
        make_station: Makes the place of a worker by its number; ``check`` raises `Stopped` once the event is set.
        patience: See `conduct`.
        progress: Is told of every trial.
        workers: How many trials run at a time.
        keep_pictures: See `Worker`.

    Raises:
        BridgeError: What made a worker fail; the others have ended their trials as interrupted.
        KeyboardInterrupt: The same by Ctrl-C.
    """
    schedule, stop = Schedule(jobs), threading.Event()

    def work(number: int) -> None:
        Worker(schedule, store, lambda: make_station(number, stop), patience, progress, keep_pictures).run()

    with ThreadPoolExecutor(workers, "worker") as pool:
        futures = [pool.submit(work, number) for number in range(workers)]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()  # without effect on workers that have ended
    _raise_first(futures)


def _raise_first(futures: Sequence[Future[None]]) -> None:
    errors = [error for future in futures if (error := future.exception()) is not None]
    errors.sort(key=lambda error: isinstance(error, Stopped))  # those were stopped because of the others
    if errors:
        raise errors[0]
