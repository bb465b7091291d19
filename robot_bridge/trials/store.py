"""The trial store: one SQLite file, one row per trial, one transaction per change; a crash loses nothing written."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, fields
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any

from robot_bridge.errors import BridgeError
from robot_bridge.trials.owner import is_alive, this_process
from robot_bridge.trials.trial import ENDINGS, INTERRUPTED, RUNNING, UNDONE, Figures, Labels, Setup, Trial

SCHEMA_VERSION = 3
APPLICATION = 0x56694450
"""Marks the file as ours ("ViDP"), see SQLite's ``application_id``."""
PATIENCE = 30.0
"""Seconds to wait for another process that is writing."""

# A trial is filed under its setup's first columns; the names are those of the dataclasses in trial.py.
SCHEMA = """
CREATE TABLE trials (
  id INTEGER PRIMARY KEY,
  suite TEXT NOT NULL, task TEXT NOT NULL, instruction TEXT NOT NULL, method TEXT NOT NULL, seed INTEGER NOT NULL,
  source TEXT NOT NULL, in_distribution INTEGER, pair TEXT, side TEXT, run TEXT,
  outcome TEXT NOT NULL, started REAL NOT NULL, finished REAL, attempt INTEGER NOT NULL,
  package TEXT NOT NULL, owner TEXT NOT NULL,
  seconds REAL, plans INTEGER, latencies_ms TEXT NOT NULL DEFAULT '[]', mean_uncertainty REAL, bundle TEXT,
  bag TEXT, video TEXT, longest_stall_s REAL, chunk_s REAL, uncertain_plans INTEGER,
  success INTEGER, instruction_followed INTEGER, first_object TEXT, partial_credit INTEGER, preference TEXT,
  note TEXT NOT NULL DEFAULT '',
  UNIQUE (suite, task, method, seed)
)
"""
ADDED = {2: ("longest_stall_s REAL", "chunk_s REAL"), 3: ("uncertain_plans INTEGER",)}
"""Version -> the columns it brought: a store of an older one gets them when it is opened."""
SETUP, FIGURES, LABELS = (tuple(item.name for item in fields(kind)) for kind in (Setup, Figures, Labels))


class StoreError(BridgeError):
    """The store cannot be opened, or a trial cannot be written as asked."""


class TrialStore:
    """An open store, for one thread; many processes may hold the same file open.

    Opening marks trials that a crash cut off as `interrupted`.

    Raises:
        StoreError: The file is missing (``create=False``), no trial store, or of a newer version.
    """

    def __init__(self, path: Path, create: bool = True) -> None:
        self.path = Path(path)
        if not create and not self.path.is_file():
            raise StoreError(f"{self.path}: no such trial store. `vidplan trial` and `vidplan trials` make one.")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
            self._database.row_factory = sqlite3.Row
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise StoreError(f"{self.path}: cannot be used as a trial store: {error}.") from error

    def __enter__(self) -> TrialStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; trials that were begun and not ended will be found interrupted once this process is gone."""
        self._database.close()

    def begin(self, setup: Setup) -> Trial:
        """Open the row of a trial that starts now. One that was interrupted or failed in error is started anew.

        Raises:
            StoreError: The trial has been run already, or runs now.
        """
        with self._transaction():
            found = self._row(setup.suite, setup.task, setup.method, setup.seed)
            if found is not None and found["outcome"] not in UNDONE:
                raise StoreError(f"{self.path}: {setup} is there already ({found['outcome']}); choose another seed.")
            if found is not None:
                self._database.execute("DELETE FROM trials WHERE id = ?", (found["id"],))
            row = dict(zip(SETUP, astuple(setup), strict=True)) | {
                "outcome": RUNNING,
                "started": time.time(),
                "attempt": 1 if found is None else found["attempt"] + 1,
                "package": metadata.version("vidplan"),
                "owner": this_process(),
            }
            marks = ", ".join("?" * len(row))
            cursor = self._database.execute(f"INSERT INTO trials ({', '.join(row)}) VALUES ({marks})", [*row.values()])
        return self.get(int(cursor.lastrowid or 0))

    def end(self, number: int, outcome: str, figures: Figures, labels: Labels | None = None) -> Trial:
        """Close the row of a trial.

        Args:
            number: The trial's ``id``.
            outcome: One of `ENDINGS`.
            figures: What was measured.
            labels: How it was judged, where that is known already.

        Raises:
            StoreError: No such outcome, or no such trial that has begun and not ended.
        """
        if outcome not in ENDINGS:
            raise StoreError(f"outcome: '{outcome}' is none of {', '.join(ENDINGS)}.")
        row = {"outcome": outcome, "finished": time.time(), **_columns(figures)}
        # A trial taken for interrupted whose process ends it after all was not interrupted.
        self._change(number, row | (_columns(labels) if labels else {}), f"outcome IN ('{RUNNING}', '{INTERRUPTED}')")
        return self.get(number)

    def interrupt(self, number: int) -> Trial:
        """Mark a running trial as cut off: it may be run again.

        Raises:
            StoreError: No such trial, or it does not run.
        """
        self._change(number, {"outcome": INTERRUPTED}, f"outcome = '{RUNNING}'")
        return self.get(number)

    def label(self, number: int, labels: Labels) -> Trial:
        """Write the labels of a trial, in place of those it had.

        Raises:
            StoreError: No such trial, or it still runs.
        """
        self._change(number, _columns(labels), f"outcome != '{RUNNING}'")
        return self.get(number)

    def get(self, number: int) -> Trial:
        """The trial of that ``id``.

        Raises:
            StoreError: There is none.
        """
        row = self._database.execute("SELECT * FROM trials WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise StoreError(f"{self.path}: no trial {number}.")
        return _trial(row)

    def find(self, suite: str, task: str, method: str, seed: int) -> Trial | None:
        """The trial of that name, whatever became of it."""
        row = self._row(suite, task, method, seed)
        return None if row is None else _trial(row)

    def trials(self, suite: str | None = None) -> list[Trial]:
        """All trials in the order they were begun, of one suite or of all."""
        chosen = ("WHERE suite = ? ", (suite,)) if suite is not None else ("", ())
        return [
            _trial(row) for row in self._database.execute(f"SELECT * FROM trials {chosen[0]}ORDER BY id", chosen[1])
        ]

    def next_seed(self, suite: str, task: str) -> int:
        """One more than the largest seed of a task in a suite, 0 for its first trial."""
        query = "SELECT max(seed) FROM trials WHERE suite = ? AND task = ?"
        largest = self._database.execute(query, (suite, task)).fetchone()[0]
        return 0 if largest is None else int(largest) + 1

    def _prepare(self) -> None:
        with self._transaction():
            if not self._database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._database.execute(SCHEMA)
                self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                self._database.execute(f"PRAGMA application_id = {APPLICATION}")
            if self._pragma("application_id") != APPLICATION:
                raise StoreError(f"{self.path}: a database, but not of trials; choose another file.")
            version = self._pragma("user_version")
            if not 1 <= version <= SCHEMA_VERSION:
                raise StoreError(
                    f"{self.path}: store version {version}, this VidPlan knows {SCHEMA_VERSION}; use its writer."
                )
            for column in (column for brought, columns in ADDED.items() if brought > version for column in columns):
                self._database.execute(f"ALTER TABLE trials ADD COLUMN {column}")
            self._database.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            running = self._database.execute("SELECT id, owner FROM trials WHERE outcome = ?", (RUNNING,)).fetchall()
            dead = [(INTERRUPTED, row["id"]) for row in running if not is_alive(row["owner"])]
            self._database.executemany("UPDATE trials SET outcome = ? WHERE id = ?", dead)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")  # what was written survives a power cut too

    def _pragma(self, name: str) -> int:
        return int(self._database.execute(f"PRAGMA {name}").fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.path}: cannot be written: {error}; what it held before is kept.") from error
        finally:
            if self._database.in_transaction:  # something failed on the way
                self._database.execute("ROLLBACK")

    def _row(self, suite: str, task: str, method: str, seed: int) -> sqlite3.Row | None:
        query = "SELECT * FROM trials WHERE suite = ? AND task = ? AND method = ? AND seed = ?"
        row: sqlite3.Row | None = self._database.execute(query, (suite, task, method, seed)).fetchone()
        return row

    def _change(self, number: int, row: dict[str, Any], condition: str) -> None:
        marks = ", ".join(f"{name} = ?" for name in row)
        with self._transaction():
            query = f"UPDATE trials SET {marks} WHERE id = ? AND {condition}"
            if self._database.execute(query, [*row.values(), number]).rowcount != 1:
                raise StoreError(f"{self.path}: trial {number} is not there, or not in a state to be changed so.")


def _columns(part: Figures | Labels) -> dict[str, Any]:
    return {
        item.name: json.dumps(value) if isinstance(value := getattr(part, item.name), tuple) else value
        for item in fields(part)
    }


def _trial(row: sqlite3.Row) -> Trial:
    values = dict(row)
    for name in ("in_distribution", "success", "instruction_followed"):
        values[name] = None if values[name] is None else bool(values[name])
    values["latencies_ms"] = tuple(json.loads(values["latencies_ms"]))
    own = {name: values[name] for name in ("id", "outcome", "started", "finished", "attempt", "package")}
    return Trial(
        setup=Setup(**{name: values[name] for name in SETUP}),
        figures=Figures(**{name: values[name] for name in FIGURES}),
        labels=Labels(**{name: values[name] for name in LABELS}),
        **own,
    )
