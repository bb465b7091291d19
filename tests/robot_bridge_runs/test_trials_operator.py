from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from robot_bridge import children
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import ConfigError
from robot_bridge.report import make
from robot_bridge.trials import preflight, trial_cli
from robot_bridge.trials.console import Terminal
from robot_bridge.trials.operator import Session, Task, rounds
from robot_bridge.trials.preflight import Check, DiskPreflight, ServersPreflight
from robot_bridge.trials.runner import BridgeRunner
from robot_bridge.trials.store import TrialStore
from robot_bridge.trials.trial import Figures, Labels, Setup

LABELS = ["y", "n", "fish", "60", "slipped once"]
TASK = Task("table1", "carrot", "put the carrot in the bowl")
GOOD = Check("camera", True, "three pictures")


class FakeConsole:
    """Answers from a list; "KEYS:" entries are what is typed while a trial runs."""

    def __init__(self, answers: Sequence[str], keys: Sequence[str | None] = ()) -> None:
        self.answers, self.keys, self.said = list(answers), list(keys), list[str]()

    def say(self, text: str) -> None:
        self.said.append(text)

    def ask(self, prompt: str) -> str:
        self.said.append(prompt)
        if not self.answers:
            raise EOFError("the terminal was closed")
        return self.answers.pop(0)

    def poll(self) -> str | None:
        if not self.keys:
            raise KeyboardInterrupt
        return self.keys.pop(0)


class FakeRunner:
    """Ends with the given outcomes, None: never by itself."""

    def __init__(self, store: TrialStore, endings: Sequence[str | None] = (None,)) -> None:
        self.store, self.endings, self.calls = store, list(endings), list[str]()

    def start(self, setup: Setup, folder: Path) -> None:
        assert self.store.trials()[-1].outcome == "running", "the row is there before the arm moves"
        folder.mkdir(parents=True)
        self.calls.append(f"start {folder.relative_to(self.store.path.parent)}")
        self.ending = self.endings.pop(0)

    def wait(self, seconds: float) -> str | None:
        return self.ending

    def stop(self) -> None:
        self.calls.append("stop")

    def abort(self) -> None:
        assert self.store.trials()[-1].outcome == "running", "the arm is stopped before anything is written"
        self.calls.append("abort")

    def figures(self) -> Figures:
        return Figures(5.0, 4, (100.0,), 0.3)


class FakePreflight:
    def __init__(self, *results: list[Check]) -> None:
        self.results = list(results)

    def examine(self) -> list[Check]:
        return self.results.pop(0) if len(self.results) > 1 else self.results[0]


@pytest.fixture
def store(tmp_path: Path) -> TrialStore:
    return TrialStore(tmp_path / "trials.db")


def session(store: TrialStore, console: FakeConsole, **runners: FakeRunner) -> Session:
    return Session(store, TASK, runners, [FakePreflight([GOOD])], console, random.Random(1))


def test_a_trial_from_start_to_labels(store: TrialStore) -> None:
    runner = FakeRunner(store)
    console = FakeConsole(["g", "maybe", *LABELS[:3], "101", *LABELS[3:]], [None, "x", "s"])
    assert rounds(session(store, console, vidplan=runner), 1) == 1
    (trial,) = store.trials()
    assert (trial.outcome, trial.setup.method, trial.setup.source) == ("finished", "vidplan", "real")
    assert trial.setup.pair is None
    assert trial.labels == Labels(True, False, "fish", 60, None, "slipped once")
    assert trial.figures.plans == 4
    assert runner.calls == ["start runs/table1/carrot-0000", "stop"]
    assert "  please answer y or n" in console.said
    assert "  please answer with a whole number from 0 to 100" in console.said
    assert any('"put the carrot in the bowl"' in line for line in console.said[:1]), "the instruction comes first"


def test_no_arm_moves_before_the_preflight_passes(store: TrialStore) -> None:
    runner, bad = FakeRunner(store, ["timeout"]), Check("camera", False, "no picture for 3 s", "plug it in")
    console = FakeConsole(["g", "", "g", *LABELS])
    made = Session(store, TASK, {"vidplan": runner}, [FakePreflight([bad], [GOOD])], console)
    made.round()
    assert [trial.outcome for trial in store.trials()] == ["timeout"]
    assert "  FAIL camera       no picture for 3 s" in console.said
    assert "       -> plug it in" in console.said
    assert console.said.index("       -> plug it in") < console.said.index("  ok   camera       three pictures")
    console = FakeConsole(["q"])
    never = FakeRunner(store)
    assert rounds(Session(store, TASK, {"vidplan": never}, [FakePreflight([bad])], console), 0) == 0
    assert never.calls == []
    assert len(store.trials()) == 1


def test_a_comparison_is_blind_until_it_is_judged(store: TrialStore) -> None:
    console = FakeConsole(
        ["g", *LABELS, "g", *LABELS, "both", "b"] * 6, [key for _ in range(12) for key in (None, "s")]
    )
    runner = FakeRunner(store, [None] * 12)
    compared = session(store, console, alpha=runner, beta=runner)
    orders = set()
    for number in range(6):
        begin = len(console.said)
        a, b = compared.round()
        orders.add((a.setup.method, b.setup.method))
        assert (a.setup.side, b.setup.side, a.setup.pair, b.setup.pair) == ("A", "B", *[f"table1/carrot/{number}"] * 2)
        assert (a.labels.preference, b.labels.preference) == ("B", "B")
        assert a.labels.success is True
        told = console.said[begin:]
        assert told[-1] == f"  A was {a.setup.method}, B was {b.setup.method}"
        assert not any("alpha" in line or "beta" in line for line in told[:-1]), "the methods' names were shown"
        assert not any("alpha" in call or "beta" in call for call in runner.calls)
    assert orders == {("alpha", "beta"), ("beta", "alpha")}, "the order is drawn"


@pytest.mark.parametrize("keys", [[None, "a"], []])
def test_abort_and_ctrl_c_stop_the_arm_and_keep_the_row(store: TrialStore, keys: list[str | None]) -> None:
    runner = FakeRunner(store)
    made = session(store, FakeConsole(["g", *LABELS], keys), vidplan=runner)
    if keys:
        made.round()
    else:
        with pytest.raises(KeyboardInterrupt):
            made.round()
    assert runner.calls[-1] == "abort"
    (trial,) = store.trials()
    assert (trial.outcome, trial.judged, trial.figures.plans) == ("aborted", bool(keys), 4)


def test_what_was_answered_is_kept_when_the_terminal_goes_away(store: TrialStore) -> None:
    with pytest.raises(EOFError):
        session(store, FakeConsole(["g", "y", "y"], ["s"]), vidplan=FakeRunner(store)).round()
    (trial,) = store.trials()
    assert (trial.outcome, trial.labels) == ("finished", Labels(success=True, instruction_followed=True))


def test_an_error_does_not_count_and_is_tried_again(store: TrialStore) -> None:
    runner = FakeRunner(store, ["error", None])
    session(store, FakeConsole(["g", "g", *LABELS], ["s"]), vidplan=runner).round()
    (trial,) = store.trials()
    assert (trial.outcome, trial.attempt, trial.setup.seed) == ("finished", 2, 0)
    assert runner.calls == ["start runs/table1/carrot-0000", "abort", "start runs/table1/carrot-0000-2", "stop"]


def test_the_bridge_runs_as_a_child_and_its_end_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the interpreter, which writes down its arguments instead of starting the bridge."""
    fake = tmp_path / "python"
    body = "import sys, time\nprint(sys.argv[1:], flush=True)\n{}\n"
    fake.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/body.py "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setattr(children.sys, "executable", str(fake))
    setup = Setup("s", "carrot", "put the carrot in the bowl", "vidplan", 0, "real", run="runs/1")
    for name, last, expected in (("a", "", "timeout"), ("b", "sys.exit(3)", "error"), ("c", "time.sleep(60)", None)):
        (tmp_path / "body.py").write_text(body.format(last))
        runner = BridgeRunner(["--robot", "fr3"])
        runner.start(setup, tmp_path / name)
        assert runner.wait(0.5 if expected is None else 30.0) == expected
        if expected is None:
            runner.abort()
            assert runner.wait(0.0) == "error"
        words = (tmp_path / name / "bridge.log").read_text()
        for word in ("'bridge'", "'--instruction', 'put the carrot in the bowl'", str(tmp_path / name), "'fr3'"):
            assert word in words or expected is None
        assert runner.figures() == Figures()


def test_checks_of_the_machine_name_no_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (full,) = DiskPreflight(tmp_path, lambda path: 0.5).examine()
    assert (full.passed, full.found) == (False, "0.5 GB free")
    (empty,) = DiskPreflight(tmp_path, lambda path: 50.0).examine()
    assert empty.passed
    monkeypatch.setattr(preflight, "ANSWER", 0.2)
    silent = BridgeConfig(server="tcp://127.0.0.1:9")
    (gone,) = ServersPreflight([silent, silent]).examine()
    assert not gone.passed
    assert "vidplan serve" in gone.advice


def test_the_command_line_becomes_methods() -> None:
    made = trial_cli._methods(["a=--server tcp://x:1 --seed 2", "b"], ["--robot", "fr3"])
    assert made == {"a": ["--robot", "fr3", "--server", "tcp://x:1", "--seed", "2"], "b": ["--robot", "fr3"]}
    with pytest.raises(ConfigError, match="two of different names"):
        trial_cli._methods(["a", "a"], [])


def test_wrong_options_of_the_bridge_are_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--store", str(tmp_path / "t.db"), "--task", "carrot", "--instruction", "x", "--", "--robott", "fr3"]
    with pytest.raises(SystemExit):
        trial_cli.main(options)
    assert "--robott" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value", "words"), [("--instruction", " ", "in words"), ("--rounds", "-1", "-1")])
def test_a_session_without_a_task_or_of_no_rounds_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, words: str
) -> None:
    given = {"--store": str(tmp_path / "t.db"), "--task": "carrot", "--instruction": "x", option: value}
    with pytest.raises(SystemExit):
        trial_cli.main([word for pair in given.items() for word in pair])
    assert words in capsys.readouterr().err
    assert not (tmp_path / "t.db").exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_stops_the_arm_as_ctrl_c_does(store: TrialStore, number: signal.Signals) -> None:
    class Closed(FakeConsole):
        def poll(self) -> str | None:
            os.kill(os.getpid(), number)
            return None

    runner, before = FakeRunner(store), signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), trial_cli.hangups_as_ctrl_c():
        session(store, Closed(["g"]), vidplan=runner).round()
    assert runner.calls[-1] == "abort"
    assert store.trials()[0].outcome == "aborted"
    assert signal.getsignal(number) is before


def test_a_report_that_cannot_be_written_ends_no_session(store: TrialStore, monkeypatch, capsys) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    setup = Setup("s", "carrot", "put the carrot in the bowl", "vidplan", 0, "real", run="runs/1")
    trial = store.end(store.begin(setup).id, "finished", Figures())
    run = store.path.parent / "runs/1"
    run.mkdir(parents=True)
    (run / "events.jsonl").write_text("")
    monkeypatch.setattr(make, "load_run", full)
    trial_cli._make_reports(store, [trial])
    assert "No space left on device" in capsys.readouterr().err


def test_no_line_is_lost_between_asking_and_polling() -> None:
    reader, writer = os.pipe()
    terminal = Terminal(reader)
    assert terminal.poll() is None
    os.write(writer, b"first\nx\na\nhal")
    assert [terminal.ask("?"), terminal.poll(), terminal.poll(), terminal.poll()] == ["first", "x", "a", None]
    os.write(writer, b"f\n")
    assert terminal.poll() == "half"
    os.close(writer)
    with pytest.raises(EOFError):
        terminal.poll()
    os.close(reader)
