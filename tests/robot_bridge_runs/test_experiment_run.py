from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
from experiment_fakes import FakeRunner, FakeStation, job
from recorded_run import moving_square, write_run

from robot_bridge.children import ChildError
from robot_bridge.errors import BridgeError, ConfigError
from robot_bridge.experiment.errors import Stopped
from robot_bridge.experiment.methods import METHODS, methods_named
from robot_bridge.experiment.run import Experiment
from robot_bridge.experiment.schedule import Job, Schedule, all_jobs, undone
from robot_bridge.experiment.station import Settings
from robot_bridge.experiment.tasks import TASKS, tasks_named
from robot_bridge.experiment.worker import work_off
from robot_bridge.trials.store import TrialStore

OnTrial = Callable[[FakeStation, Job], FakeRunner | None]
Stations = list[FakeStation]


def experiment(folder: Path, seeds: int = 2, **changes: object) -> Experiment:
    jobs = all_jobs("s", methods_named(["nominal", "vidplan"]), tasks_named(["carrot", "pea"]), range(seeds))
    made = Experiment(tuple(jobs), folder / "trials.db", folder / "out", "s", Settings(seconds=5.0))
    return replace(made, **changes)  # type: ignore[arg-type]


def stations(on_trial: OnTrial) -> tuple[Stations, Callable[[int, threading.Event], FakeStation]]:
    made: Stations = []

    def make(number: int, stop: threading.Event) -> FakeStation:
        made.append(FakeStation(stop, on_trial))
        return made[-1]

    return made, make


def vidplan_does_it(station: FakeStation, job: Job) -> FakeRunner | None:
    target = job.task.instruction.split()[2]
    if job.method.name == "vidplan":
        station.cell.done_at, station.cell.touched = range(3, 100), (target, "grasp")
    return None


def outcomes(store: Path) -> list[tuple[str, str, int, str]]:
    with TrialStore(store) as opened:
        return [(t.setup.method, t.setup.task, t.setup.seed, t.outcome) for t in opened.trials()]


def test_every_trial_is_a_row_and_the_report_says_how_they_went(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, make = stations(vidplan_does_it)
    content = experiment(tmp_path).run(make)
    rows = {(row["task"], row["method"]): row for row in content["table"]}
    assert (rows["pea", "vidplan"]["success_rate"], rows["pea", "nominal"]["success_rate"]) == (1.0, 0.0)
    assert rows["pea", "vidplan"]["episodes"] == 2
    assert rows["pea", "nominal"]["instruction_following_rate"] == 0.0
    assert json.loads((tmp_path / "out/report.json").read_text()) == json.loads(json.dumps(content))
    page = (tmp_path / "out/report.html").read_text()
    assert escape(METHODS[0].says) in page
    assert "put the <i>carrot</i> in the bowl (ID)" in page
    assert "seconds 5.0" in page
    [station] = made
    assert station.used == ["nominal", "vidplan"], "each planner is loaded once"
    assert station.closed
    resets = station.cell.resets
    assert resets[:4] == resets[4:] == [("carrot", 0), ("pea", 0), ("carrot", 1), ("pea", 1)]
    said = capsys.readouterr().out
    assert "[8/8] pea     vidplan" in said
    assert " left" in said


def test_what_is_done_is_not_done_again_and_more_can_be_added(tmp_path: Path) -> None:
    experiment(tmp_path).run(stations(vidplan_does_it)[1])
    made, make = stations(vidplan_does_it)
    experiment(tmp_path).run(make)
    assert not made, "nothing is started when nothing is to be done"
    experiment(tmp_path, seeds=3).run(make)
    assert made[0].cell.resets == [("carrot", 2), ("pea", 2)] * 2


def test_a_series_is_not_continued_with_other_settings(tmp_path: Path) -> None:
    made, make = stations(vidplan_does_it)
    experiment(tmp_path).run(make)
    with pytest.raises(ConfigError, match=r"begun with seconds 5\.0"):
        experiment(tmp_path, seeds=3, settings=Settings(seconds=6.0)).run(make)
    assert len(made) == 1


def test_ctrl_c_leaves_the_trial_to_be_run_again(tmp_path: Path) -> None:
    def interrupt(station: FakeStation, job: Job) -> FakeRunner | None:
        if (job.task.name, job.seed) == ("pea", 0):
            station.stop.set()  # as `work_off` does on Ctrl-C
            return FakeRunner(length=1000)
        return None

    made, make = stations(interrupt)
    with pytest.raises(Stopped):
        experiment(tmp_path).run(make)
    assert made[0].closed
    assert outcomes(tmp_path / "trials.db") == [
        ("nominal", "carrot", 0, "timeout"), ("nominal", "pea", 0, "interrupted"),
    ]  # fmt: skip
    experiment(tmp_path).run(stations(vidplan_does_it)[1])
    assert {row[3] for row in outcomes(tmp_path / "trials.db")} == {"timeout", "finished"}
    with TrialStore(tmp_path / "trials.db") as store:
        again = store.find("s", "pea", "nominal", 0)
    assert again is not None
    assert again.attempt == 2


def test_keyboard_interrupt_in_the_main_thread_stops_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("robot_bridge.experiment.worker.wait", wait)
    made, make = stations(lambda station, job: FakeRunner(length=10**9))
    with pytest.raises(KeyboardInterrupt):
        experiment(tmp_path, workers=2).run(make)
    assert all(station.closed for station in made)
    assert {row[3] for row in outcomes(tmp_path / "trials.db")} <= {"interrupted"}


def test_a_dead_program_costs_one_trial_and_is_started_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def die_once(station: FakeStation, job: Job) -> FakeRunner | None:
        station.dead = (job.method.name, job.task.name, job.seed) == ("vidplan", "carrot", 0)
        return None

    made, make = stations(die_once)
    content = experiment(tmp_path).run(make)
    assert [station.used for station in made] == [["nominal", "vidplan"], ["vidplan"]]
    errors = {(row["task"], row["method"]): row["errors"] for row in content["table"]}
    assert {trial for trial, count in errors.items() if count} == {("carrot", "vidplan")}
    assert "its last words" in capsys.readouterr().out
    assert not [line for line in outcomes(tmp_path / "trials.db") if line[3] == "interrupted"]
    experiment(tmp_path).run(stations(vidplan_does_it)[1])
    assert "error" not in {row[3] for row in outcomes(tmp_path / "trials.db")}


def test_errors_without_end_end_the_experiment(tmp_path: Path) -> None:
    def die(station: FakeStation, job: Job) -> FakeRunner | None:
        station.dead = True
        return None

    made, make = stations(die)
    with pytest.raises(BridgeError, match=r"3 trials in a row .* ended with code -9"):
        experiment(tmp_path).run(make)
    assert len(made) == 3


def test_a_worker_that_cannot_start_stops_the_others(tmp_path: Path) -> None:
    started = threading.Event()

    def make(number: int, stop: threading.Event) -> FakeStation:
        if number == 1:
            started.wait(10)
            raise ChildError("no such bundle")
        return FakeStation(stop, lambda station, job: started.set() or FakeRunner(length=10**9))  # type: ignore[func-returns-value]

    with pytest.raises(ChildError, match="no such bundle"):
        experiment(tmp_path, workers=2).run(make)
    [(method, task, seed, outcome)] = outcomes(tmp_path / "trials.db")
    assert (method, seed, outcome) == ("nominal", 0, "interrupted")
    assert task in ("carrot", "pea"), "whichever the other worker left it"


def test_workers_share_the_jobs(tmp_path: Path) -> None:
    _, make = stations(vidplan_does_it)
    jobs = experiment(tmp_path, seeds=4).jobs

    class Quiet:
        def say(self, line: str) -> None: ...
        def trial(self, trial: object) -> None: ...

    work_off(jobs, tmp_path / "trials.db", make, 99.0, Quiet(), workers=3)  # type: ignore[arg-type]
    assert sorted(row[:3] for row in outcomes(tmp_path / "trials.db")) == sorted(
        (j.method.name, j.task.name, j.seed) for j in jobs
    )


def test_what_another_experiment_has_begun_meanwhile_is_left_to_it(tmp_path: Path) -> None:
    jobs = experiment(tmp_path).jobs

    def take_the_next(station: FakeStation, job: Job) -> FakeRunner | None:
        if job == jobs[0]:
            with TrialStore(tmp_path / "trials.db") as other:
                other.begin(jobs[1].setup)
        return None

    experiment(tmp_path).run(stations(take_the_next)[1])
    endings = [row[3] for row in outcomes(tmp_path / "trials.db")]
    assert (endings.count("running"), endings.count("timeout")) == (1, 7)


def test_a_worker_stays_with_its_method_while_it_can() -> None:
    first, second = METHODS[:2]
    schedule = Schedule(all_jobs("s", [first, second], TASKS[:1], range(2)))
    assert schedule.take(None) == Job("s", first, TASKS[0], 0)
    assert schedule.take(second) == Job("s", second, TASKS[0], 0)
    assert schedule.take(second) == Job("s", second, TASKS[0], 1)
    assert schedule.take(second) == Job("s", first, TASKS[0], 1)
    assert schedule.take(second) is None


def test_trials_under_way_elsewhere_are_not_taken_for_undone(tmp_path: Path) -> None:
    with TrialStore(tmp_path / "trials.db") as store:
        store.begin(job().setup)
        assert undone([job(), job(seed=1)], store) == [job(), job(seed=1)][1:]


def test_a_run_leaves_a_film_and_no_heap_of_pictures(tmp_path: Path) -> None:
    import av

    run = write_run(tmp_path / "made", moving_square(16))
    jobs = (job(),)
    for keep in (False, True):
        folder = tmp_path / str(keep)
        made = Experiment(jobs, folder / "trials.db", folder / "out", "s", Settings(), keep_pictures=keep)
        made.run(stations(lambda station, job: FakeRunner(run=run))[1])
        with TrialStore(folder / "trials.db") as store:
            [trial] = store.trials()
        assert trial.figures.video == f"{trial.setup.run}/video.mp4"
        assert trial.figures.plans == 2
        kept = folder / str(trial.setup.run)
        assert (kept / "plans").exists() == (kept / "frames").exists() == keep
        assert (kept / "events.jsonl").exists()
        with av.open(str(kept / "video.mp4")) as video:
            frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
        assert len(frames) == 16
        assert "<video" in (folder / "out/report.html").read_text(), "a failure is shown"
    scene = frames[-1][44:332].astype(int)
    assert scene[..., 0].max() - scene[..., 1].max() > 100, "the left camera's square is red in this recording"
    assert frames[0][-50:].std() < 5 < frames[-1][-50:].std(), "imagined only once there is a plan"


def test_wrong_names_are_named() -> None:
    with pytest.raises(ConfigError, match="'pi05' is none of nominal, vidplan"):
        methods_named(["vidplan", "pi05"])
    with pytest.raises(ConfigError, match="named twice"):
        tasks_named(["pea", "pea"])
