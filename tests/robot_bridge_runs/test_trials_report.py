from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from recorded_run import moving_square, write_run

from robot_bridge.trials import report
from robot_bridge.trials.figures import figures_of
from robot_bridge.trials.store import TrialStore
from robot_bridge.trials.trial import Figures, Labels, Setup

VIDEO = b"not really a video, but bytes of one"


def add(store: TrialStore, task: str, method: str, seed: int, success: bool | None, **setup: object) -> None:
    made = Setup("table1", task, f"put the {task} in the bowl", method, seed, **setup)  # type: ignore[arg-type]
    trial = store.begin(made)
    video, stall = f"runs/{seed}/video.mp4", 0.1 * seed
    figures = Figures(
        9.0, 2, (100.0 + seed, 200.0), 0.5, video=video, longest_stall_s=stall, chunk_s=1.0, uncertain_plans=1
    )
    store.end(trial.id, "finished", figures, Labels(success, success, "bowl <big>", note="a <note>"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trials")
    with TrialStore(folder / "trials.db") as store:
        for seed in range(20):
            add(store, "fish", "vidplan", seed, seed < 17)
            add(store, "fish", "nominal", seed, seed < 5)
        add(store, "carrot", "nominal", 0, True, in_distribution=True)
        add(store, "fish", "vidplan", 100, False, source="real")
        add(store, "fish", "vidplan", 101, None)
        store.begin(Setup("table1", "fish", "put the fish in the bowl", "vidplan", 102))
    video = folder / "runs/19/video.mp4"
    video.parent.mkdir(parents=True)
    video.write_bytes(VIDEO)
    assert report.main(["--store", str(folder / "trials.db"), "--out", str(folder / "out")]) == 0
    return folder / "out"


def test_the_table_in_report_json(written: Path) -> None:
    content = json.loads((written / "report.json").read_text())
    rows = {(row["source"], row["task"], row["method"]): row for row in content["table"]}
    assert len(rows) == 4
    ours = rows["sim", "fish", "vidplan"]
    assert (ours["episodes"], ours["success_rate"], ours["instruction_following_rate"]) == (20, 0.85, 0.85)
    assert ours["wilson95"] == pytest.approx([0.6396, 0.9476], abs=5e-5)
    assert ours["not_judged"] == 2
    assert ours["longest_stall_s"] == pytest.approx(10.1)
    assert ours["stalled_over_a_chunk"] == 10
    assert ours["uncertain_plans"] == 21, "one a trial, judged or not"
    assert rows["real", "fish", "vidplan"]["episodes"] == 1
    (difference,) = content["significance"]
    assert (difference["method"], difference["baseline"]) == ("vidplan", "nominal")
    assert (difference["points"], difference["won"], difference["lost"]) == (pytest.approx(60), 12, 0)
    assert difference["mcnemar"] == pytest.approx(2 / 2**12)


def test_the_page_is_table_1_and_stands_alone(written: Path) -> None:
    page = (written / "report.html").read_text()
    assert "put the <i>fish</i> in the bowl</th>" in page
    assert "put the <i>carrot</i> in the bowl (ID)</th>" in page
    assert "<b>85</b>" in page
    assert "64 to 95, n = 20" in page
    assert page.count("<svg") == 6, "three each for the simulated and the real ones"
    assert "count in no rate: 2." in page
    assert "a &lt;note&gt;" in page
    assert "<big>" not in page
    assert page.count("<video") == 2, "the failures of seed 19: nominal and vidplan; a success is not shown"
    assert page.index("vidplan, fish: 3") < page.index("nominal, fish: 15")
    assert re.search(
        r"<th>nominal</th><td>42</td><td>21</td><td>1\d\d</td><td>200</td><td>1.9</td><td>9 of 21</td>", page
    )
    assert not re.search(r'src="(?!data:)', page), "an outside resource"


def test_an_empty_store_and_wrong_names_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trials.db"
    TrialStore(path).close()
    assert report.main(["--store", str(path)]) == 1
    assert "no trials yet; `vidplan trial` adds one" in capsys.readouterr().err
    with TrialStore(path) as store:
        add(store, "fish", "vidplan", 0, True)
    assert report.main(["--store", str(path), "--suite", "other"]) == 1
    assert "it has: table1" in capsys.readouterr().err
    assert report.main(["--store", str(path), "--baseline", "pi05"]) == 1
    assert "no trials of 'pi05'; there are: vidplan" in capsys.readouterr().err
    assert report.main(["--store", str(tmp_path / "none.db")]) == 1
    assert "no such trial store" in capsys.readouterr().err
    assert report.main(["--store", str(path)]) == 0
    assert (tmp_path / "trials-report" / "report.html").exists()


def test_trials_that_were_all_cut_off_are_reported_too(tmp_path: Path) -> None:
    path = tmp_path / "trials.db"
    with TrialStore(path) as store:
        store.begin(Setup("s", "pea", "put the pea in the bowl", "vidplan", 0, "real"))
        content = report.make_report(path, tmp_path / "out")
    assert content["table"][0]["success_rate"] is None
    assert content["table"][0]["wilson95"] is None
    assert "count in no rate: 1." in (tmp_path / "out/report.html").read_text()


def test_the_object_is_set_off_whatever_the_task_is_called(tmp_path: Path) -> None:
    with TrialStore(tmp_path / "trials.db") as store:
        for number, method in enumerate(("nominal", "ours", "theirs")):
            trial = store.begin(Setup("s", "tape", "put the measuring tape in the bowl", method, 0))
            store.end(trial.id, "finished", Figures(bundle=f"{number % 2}"), Labels(success=True))
        again = store.begin(Setup("s", "tape", "put the measuring tape in the bowl", "ours", 1))
        store.end(again.id, "error", Figures(bundle="0"))
    content = report.make_report(tmp_path / "trials.db", tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    assert "put the <i>measuring tape</i> in the bowl" in page
    assert "Planned with 2 different bundles: ours in s." in page
    assert [row["errors"] for row in content["table"]] == [0, 1, 0]
    pairs = [(row["method"], row["baseline"]) for row in content["significance"]]
    assert pairs == [("ours", "nominal"), ("theirs", "nominal"), ("theirs", "ours")]
    assert page.index("theirs against nominal") < page.index("The other pairs") < page.index("theirs against ours")


@pytest.mark.parametrize(
    ("told", "longest"),
    [
        ([], 0.0),
        ([(1.0, "hold", "awaiting_plan"), (1.5, "resume", None), (3.0, "hold", "no_plan"), (3.2, "resume", None)], 0.5),
        ([(1.0, "hold", "no_plan"), (2.0, "hold", "server_lost"), (4.0, "resume", None)], 3.0),
        ([(1.0, "hold", "tracking_error"), (9.0, "resume", None)], 0.0),
        ([(1.0, "hold", "awaiting_plan"), (3.5, "stop", "stopped"), (9.0, "finished", None)], 2.5),
    ],
)
def test_a_stall_is_the_want_of_a_plan(
    tmp_path: Path, told: Sequence[tuple[float, str, str | None]], longest: float
) -> None:
    spec = {"horizon": 5, "frame_period": 0.2}
    (tmp_path / "run.json").write_text(json.dumps({"spec": spec}))
    lines = [json.dumps({"t": t, "event": name, "reason": reason}) + "\n" for t, name, reason in told]
    (tmp_path / "events.jsonl").write_text("".join(lines))
    figures = figures_of(tmp_path, "run")
    assert (figures.longest_stall_s, figures.chunk_s) == (pytest.approx(longest), 1.0)
    assert figures.stalled == (longest > 1.0)


def test_figures_are_read_from_a_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", moving_square())
    figures = figures_of(run, "run")
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    plans = [event for event in events if event["event"] == "plan"]
    assert figures.plans == len(plans)
    assert figures.uncertain_plans == 1
    assert figures.latencies_ms == tuple(plan["latency_ms"] for plan in plans)
    assert figures.seconds == pytest.approx(29 * 0.2)
    assert (figures.bundle, figures.video) == ("ab" * 32, "run/video.mp4")
    assert figures_of(tmp_path / "nothing", "nothing") == Figures()
