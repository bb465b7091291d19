"""An experiment from its settings to its report."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robot_bridge.errors import ConfigError
from robot_bridge.experiment.progress import Progress
from robot_bridge.experiment.schedule import Job, undone
from robot_bridge.experiment.station import ProcessStation, Settings
from robot_bridge.experiment.worker import MakeStation, work_off
from robot_bridge.isolation import isolated
from robot_bridge.trials.report import SETTINGS, make_report
from robot_bridge.trials.store import TrialStore


@dataclass(frozen=True)
class Experiment:
    """What is to be run, and how.

    Attributes:
        jobs: All its trials, those that have been run too.
        store: Trial store; recordings go beside it.
        out: Folder for the report.
        suite: Name of the series.
        settings: What is the same for all trials.
        workers: How many trials run at a time.
        keep_pictures: See `robot_bridge.experiment.worker.Worker`.
    """

    jobs: tuple[Job, ...]
    store: Path
    out: Path
    suite: str
    settings: Settings
    workers: int = 1
    keep_pictures: bool = False

    def run(self, make_station: MakeStation | None = None) -> dict[str, Any]:
        """Run what has not been run yet, then report.

        Args:
            make_station: Makes a worker's place; None: the real programs.

        Returns:
            What is in ``report.json``.

        Raises:
            BridgeError: The experiment cannot go on; what has been run is in the store.
        """
        with TrialStore(self.store) as store:
            left = undone(self.jobs, store)
        self._keep_settings()
        done, workers = len(self.jobs) - len(left), max(1, min(self.workers, len(left)))
        progress = Progress(len(self.jobs), done)
        progress.say(f"{len(self.jobs)} trials, {done} of them done before, {workers} at a time, into {self.store}")
        if left:
            make = make_station or self._stations(workers)
            work_off(left, self.store, make, self.settings.patience, progress, workers, self.keep_pictures)
        return make_report(self.store, self.out, self.suite)

    def _stations(self, workers: int) -> MakeStation:
        domains: list[int] = []
        while len(domains) < workers:
            variables = isolated()
            if (domain := int(variables["ROS_DOMAIN_ID"])) not in domains:
                domains.append(domain)
        os.environ.update({name: value for name, value in variables.items() if name != "ROS_DOMAIN_ID"})
        logs = self.store.parent / "runs" / self.suite / "logs"

        def make(number: int, stop: threading.Event) -> ProcessStation:
            return ProcessStation(self.settings, logs / f"worker-{number}", domains[number], stop)

        return make

    def _keep_settings(self) -> None:
        """Keep them beside the recordings; a series is not continued with others.

        Raises:
            ConfigError: They differ from those it was begun with.
        """
        path = self.store.parent / "runs" / self.suite / SETTINGS
        mine = json.loads(json.dumps(asdict(self.settings)))
        kept = json.loads(path.read_text()) if path.exists() else {"settings": mine, "methods": {}}
        differing = [f"{name} {begun}" for name, begun in kept["settings"].items() if begun != mine.get(name)]
        if differing:
            raise ConfigError(
                "--suite", f"'{self.suite}' was begun with {', '.join(differing)}; give the same, or another --suite."
            )
        kept["methods"] |= {job.method.name: job.method.says for job in self.jobs}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(kept, indent=1) + "\n")
