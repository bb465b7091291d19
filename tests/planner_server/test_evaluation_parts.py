"""The machinery around the figures: parts that are kept or fail alone, recordings made when missing, progress."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from planner_server.evaluation import progress as progress_module
from planner_server.evaluation import recordings
from planner_server.evaluation.errors import EvaluationError
from planner_server.evaluation.parts import Parts
from planner_server.evaluation.progress import Progress


class Counted:
    """A measurement that counts how often it is made."""

    def __init__(self, result: dict[str, Any] | Exception) -> None:
        self.result, self.calls = result, 0

    def __call__(self) -> dict[str, Any]:
        self.calls += 1
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def test_a_finished_part_is_kept_for_the_same_key_and_options(tmp_path: Path) -> None:
    measure = Counted({"figure": 1.5})
    for key, options, calls in (
        ({"bundle": "a"}, {"states": (1, 2)}, 1),
        ({"bundle": "a"}, {"states": (1, 2)}, 1),
        ({"bundle": "a"}, {"states": (1, 3)}, 2),
        ({"bundle": "b"}, {"states": (1, 3)}, 3),
    ):
        parts = Parts(tmp_path, key)
        parts.run("ranking", options, measure)
        assert measure.calls == calls
        assert parts.results == {"ranking": {"figure": 1.5}}
        assert not parts.failed
    (tmp_path / "parts" / "ranking.json").write_text('{"key": ')
    Parts(tmp_path, {"bundle": "b"}).run("ranking", {"states": (1, 3)}, measure)
    assert measure.calls == 4


def test_a_part_that_fails_is_named_and_measured_again_the_next_time(tmp_path: Path) -> None:
    parts = Parts(tmp_path, {})
    refused, broken, fine = Counted(EvaluationError("no camera")), Counted(ZeroDivisionError("by zero")), Counted({})
    for name, measure in (("models", refused), ("ranking", broken), ("plan", fine)):
        parts.run(name, {}, measure)
    assert parts.failed == {"models": "no camera", "ranking": "ZeroDivisionError: by zero"}
    assert list(parts.results) == ["plan"]
    assert "ZeroDivisionError" in (tmp_path / "parts" / "ranking.failed.txt").read_text()
    Parts(tmp_path, {}).run("ranking", {}, broken)
    assert broken.calls == 2


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """Commands that would record; each one leaves its episodes behind, the look `light` cannot be recorded."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        words = [word for word in command[5:] if word != "--held-out"]
        options = dict(zip(words[::2], words[1::2], strict=True))
        if options["--look"] == "light":
            return SimpleNamespace(returncode=1)
        folder, count = Path(options["--out"]), int(options["--episodes"])
        held_out = count if "--held-out" in command else count // 10
        episodes(episodes(folder, held_out), count - held_out, "train")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(recordings, "CACHE", tmp_path / "cache")
    return commands


def episodes(folder: Path, count: int, split: str = "val") -> Path:
    (folder / "annotation" / split).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / "annotation" / split / f"{number}.json").write_text("{}")
    return folder


def silent(what: str, fraction: float) -> None:
    assert 0 <= fraction <= 1


def test_what_is_missing_is_recorded_once(recorder: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "UNFAMILIAR", ("stranger", "camera"))
    found = recordings.prepare(None, None, quick=True, fitted=False, workers=2, say=silent)
    assert [command[:5] for command in recorder] == [[sys.executable, "-m", "vidplan", "sim", "record"]] * 3
    assert all("--held-out" in command for command in recorder)
    seeds = [command[command.index("--seed") + 1] for command in recorder]
    assert len(set(seeds)) == 3
    assert all(int(seed) >= 1_000_000 for seed in seeds)
    assert list(found.unfamiliar) == ["stranger", "camera"]
    assert found.fitting is None
    again = recordings.prepare(None, None, quick=True, fitted=False, workers=2, say=silent)
    assert again == found
    assert len(recorder) == 3
    recordings.prepare(None, None, quick=False, fitted=False, workers=2, say=silent)
    assert len(recorder) == 6


def test_what_is_fitted_gets_episodes_of_its_own(recorder: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "UNFAMILIAR", ("stranger",))
    for _ in range(2):
        found = recordings.prepare(None, None, quick=True, fitted=True, workers=2, say=silent)
    assert len(recorder) == 3
    assert "--held-out" not in recorder[-1]
    assert len({command[command.index("--seed") + 1] for command in recorder}) == 3
    assert found.fitting is not None
    assert len(list((found.fitting / "annotation" / "train").iterdir())) > 30


def test_recordings_that_are_given_are_used(recorder: list[list[str]], tmp_path: Path) -> None:
    data = episodes(episodes(tmp_path / "data", 2), 3, "train")
    episodes(tmp_path / "ood" / "camera", 2)
    found = recordings.prepare(data, tmp_path / "ood", quick=True, fitted=True, workers=1, say=silent)
    assert found == recordings.Recordings(data, data, {"camera": tmp_path / "ood" / "camera"})
    assert recorder == []
    with pytest.raises(EvaluationError, match="annotation/val"):
        recordings.prepare(tmp_path / "ood", None, quick=True, fitted=True, workers=1, say=silent)
    with pytest.raises(EvaluationError, match="stranger, light, camera"):
        recordings.prepare(data, tmp_path / "data", quick=True, fitted=True, workers=1, say=silent)


def test_a_recording_that_fails_says_so(recorder: list[list[str]]) -> None:
    with pytest.raises(EvaluationError, match=r"light failed with exit code 1"):
        recordings.prepare(None, None, quick=True, fitted=False, workers=2, say=silent)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_renews_one_line_on_a_terminal_and_is_brief_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(float(second) for second in range(0, 1000, 4))
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    terminal, log = Terminal(), io.StringIO()
    for stream in (terminal, log):
        say = Progress(stream)
        for step in range(11):
            say("ranking", step / 10)
        say("plan", 0.0)
    assert terminal.getvalue().count("\n") == 1
    assert "ranking  50 %, 20 s left" in terminal.getvalue()
    lines = log.getvalue().splitlines()
    assert lines[0] == "ranking  0 %"
    assert lines[-2:] == ["ranking  100 %", "plan  0 %"]
    assert len(lines) == 5
