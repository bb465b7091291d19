"""The benchmark of one full-size training step, at reduced size."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_a_step_is_timed_and_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import train_step

    words = ["--size", "reduced", "--batch", "3", "--steps", "1", "--json", str(tmp_path / "step.json")]
    assert train_step.main(words) == 0
    report = json.loads((tmp_path / "step.json").read_text())
    assert len(report["losses"]) == 2
    assert all(math.isfinite(loss) and loss > 0 for loss in report["losses"])
    assert report["losses"][0] != report["losses"][1]
    assert min(report["seconds"], report["first_seconds"], report["peak_gib"], report["parameters"]) > 0
    assert "reduced size" in capsys.readouterr().out
