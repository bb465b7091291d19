from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from robot_bridge.trials.store import APPLICATION, StoreError, TrialStore
from robot_bridge.trials.trial import Figures, Labels, Setup, TrialError

SETUP = Setup("first", "carrot", "put the carrot in the bowl", "vidplan", 3, in_distribution=True, run="runs/3")
FIGURES = Figures(12.5, 3, (100.0, 300.0, 200.0), 0.4, "ab" * 32, None, "runs/3/video.mp4", 1.2, 1.0, 2)
LABELS = Labels(True, False, "fish", 60, None, 'touched the fish; "went on" ü')

CRASH = """
import os, signal, sys
from pathlib import Path
from robot_bridge.trials.store import TrialStore
from robot_bridge.trials.trial import Figures, Labels, Setup
store = TrialStore(Path(sys.argv[1]))
for seed in range(3):
    trial = store.begin(Setup("first", "carrot", "put the carrot in the bowl", "vidplan", seed))
    if seed < 2:
        store.end(trial.id, "finished", Figures(plans=seed), Labels(success=True))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def store(tmp_path: Path) -> TrialStore:
    return TrialStore(tmp_path / "deep" / "trials.db")


def test_a_trial_comes_back_as_it_was_written(store: TrialStore) -> None:
    begun = store.begin(SETUP)
    assert (begun.setup, begun.outcome, begun.attempt, begun.finished) == (SETUP, "running", 1, None)
    assert not begun.judged
    ended = store.end(begun.id, "timeout", FIGURES, LABELS)
    assert (ended.outcome, ended.figures, ended.labels) == ("timeout", FIGURES, LABELS)
    assert ended.finished is not None
    assert ended.finished >= ended.started
    store.close()
    with TrialStore(store.path, create=False) as again:
        assert again.trials() == [ended]
        assert again.find("first", "carrot", "vidplan", 3) == ended
        assert again.find("first", "carrot", "vidplan", 4) is None
    assert FIGURES.latency_quantiles_ms == pytest.approx((110.0, 200.0, 290.0))


def test_labels_can_be_written_one_by_one_and_never_while_it_runs(store: TrialStore) -> None:
    trial = store.begin(SETUP)
    with pytest.raises(StoreError, match="not in a state"):
        store.label(trial.id, LABELS)
    store.end(trial.id, "finished", FIGURES)
    assert store.label(trial.id, Labels(success=False)).labels == Labels(success=False)
    assert store.label(trial.id, LABELS).figures == FIGURES


def test_killed_in_the_middle_nothing_is_lost_and_the_next_opening_says_so(tmp_path: Path) -> None:
    path = tmp_path / "trials.db"
    done = subprocess.run([sys.executable, "-c", CRASH, str(path)], timeout=60)
    assert done.returncode == -signal.SIGKILL
    with TrialStore(path) as store:
        found = store.trials()
        assert [(trial.outcome, trial.figures.plans) for trial in found] == [
            ("finished", 0), ("finished", 1), ("interrupted", None),
        ]  # fmt: skip
        again = store.begin(found[2].setup)
        assert (again.outcome, again.attempt) == ("running", 2)
        assert len(store.trials()) == 3
        with pytest.raises(StoreError, match=r"is there already \(finished\)"):
            store.begin(found[0].setup)


def test_a_trial_that_runs_in_another_open_store_is_left_alone(store: TrialStore) -> None:
    trial = store.begin(SETUP)
    with TrialStore(store.path) as other:
        assert other.get(trial.id).outcome == "running"
        with pytest.raises(StoreError, match=r"already \(running\)"):
            other.begin(SETUP)
        other.begin(replace(SETUP, seed=4))
    assert store.next_seed("first", "carrot") == 5
    assert store.next_seed("first", "fish") == 0
    assert [trial.setup.seed for trial in store.trials("first")] == [3, 4]
    assert store.trials("second") == []


def test_an_ended_trial_is_not_ended_again(store: TrialStore) -> None:
    trial = store.begin(SETUP)
    with pytest.raises(StoreError, match="'won' is none of"):
        store.end(trial.id, "won", FIGURES)
    store.end(trial.id, "finished", FIGURES)
    with pytest.raises(StoreError, match="not in a state"):
        store.end(trial.id, "aborted", Figures())
    assert store.get(trial.id).outcome == "finished"
    with pytest.raises(StoreError, match="no trial 99"):
        store.get(99)


def test_a_trial_that_was_cut_off_says_so_at_once_and_may_be_run_again(store: TrialStore) -> None:
    trial = store.begin(SETUP)
    assert store.interrupt(trial.id).outcome == "interrupted"
    with pytest.raises(StoreError, match="not in a state"):
        store.interrupt(trial.id)
    assert store.begin(SETUP).attempt == 2


@pytest.mark.parametrize(
    ("version", "since"), [(1, ("longest_stall_s", "chunk_s", "uncertain_plans")), (2, ("uncertain_plans",))]
)
def test_a_store_of_an_earlier_version_is_taken_over(store: TrialStore, version: int, since: tuple[str, ...]) -> None:
    store.end(store.begin(SETUP).id, "finished", FIGURES, LABELS)
    store.close()
    database = sqlite3.connect(store.path)
    for column in since:
        database.execute(f"ALTER TABLE trials DROP COLUMN {column}")
    database.execute(f"PRAGMA user_version = {version}")
    database.commit()
    database.close()
    with TrialStore(store.path) as again:
        [trial] = again.trials()
        assert trial.figures == replace(FIGURES, **dict.fromkeys(since))
        assert trial.figures.stalled == ("chunk_s" not in since)
        other = again.begin(replace(SETUP, seed=4))
        assert again.end(other.id, "finished", FIGURES).figures.stalled


def test_a_full_disk_is_told_and_what_was_written_stays(store: TrialStore) -> None:
    trial = store.begin(SETUP)
    pages = store._database.execute("PRAGMA page_count").fetchone()[0]
    store._database.execute(f"PRAGMA max_page_count = {pages}")
    long = replace(FIGURES, latencies_ms=tuple(range(50_000)))
    with pytest.raises(StoreError, match="full"):
        store.end(trial.id, "finished", long)
    assert store.get(trial.id).outcome == "running"
    assert store.end(trial.id, "finished", FIGURES).outcome == "finished", "with room again it goes on"


def test_other_files_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such trial store"):
        TrialStore(tmp_path / "none.db", create=False)
    text = tmp_path / "notes.txt"
    text.write_text("not a database, " * 100)
    with pytest.raises(StoreError, match="cannot be used"):
        TrialStore(text)
    assert text.read_text().startswith("not a database")
    for name, statements, message in (
        ("music.db", "CREATE TABLE songs (name TEXT);", "not of trials"),
        (
            "new.db",
            f"CREATE TABLE trials (x); PRAGMA application_id = {APPLICATION}; PRAGMA user_version = 9;",
            "version 9",
        ),
    ):
        database = sqlite3.connect(tmp_path / name)
        database.executescript(statements)
        database.close()
        with pytest.raises(StoreError, match=message):
            TrialStore(tmp_path / name)


@pytest.mark.parametrize("change", [{"task": " "}, {"source": "dream"}, {"pair": "p"}, {"pair": "p", "side": "C"}])
def test_impossible_set_ups_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(TrialError, match=next(reversed(change))):
        replace(SETUP, **change)


def test_impossible_labels_are_refused() -> None:
    with pytest.raises(TrialError, match="101"):
        Labels(partial_credit=101)
    with pytest.raises(TrialError, match="preference"):
        Labels(preference="both")
