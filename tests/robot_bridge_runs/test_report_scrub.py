"""The slider of the report: what it holds, and that a browser moves it (where there is one)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from recorded_run import HORIZON, moving_square, write_run

from robot_bridge.report import scrub
from robot_bridge.report.make import make_report
from robot_bridge.report.run import load_run

BROWSER = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)


def held(page: str) -> dict:
    found = re.search(r'id="scrub-data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_every_moment_holds_what_was_seen_imagined_and_done(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path / "run", moving_square(), mode="dry_run"))
    data = held(scrub.scrubber(run))
    assert [moment["t"] for moment in data["moments"]] == pytest.approx(0.2 * np.arange(30))
    assert all(moment["seen"].startswith("data:image/jpeg") for moment in data["moments"])
    imagined = [index for index, moment in enumerate(data["moments"]) if moment.get("imagined")]
    assert imagined == [*range(2, 2 + len(run.plans) * HORIZON)], "each plan imagines the second after it, none before"
    assert [data["moments"][index]["plan"] for index in (2, 6, 7)] == [0, 0, 1], "the newest plan is shown"
    assert "REFUSED" in data["plans"][2]["text"]
    assert len({moment["imagined"] for moment in data["moments"][2:7]}) == HORIZON
    assert set(data["curves"]) == {"done", "would be commanded", "operator commanded"}
    done, commanded = data["curves"]["done"], data["curves"]["would be commanded"]
    np.testing.assert_allclose(np.array(commanded["v"][0]) - done["v"][0], 0.01, atol=2e-4)
    assert data["curves"]["operator commanded"] is None


def test_a_long_run_is_shown_in_larger_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrub, "MOMENTS", 10)
    monkeypatch.setattr(scrub, "SAMPLES", 20)
    data = held(scrub.scrubber(load_run(write_run(tmp_path / "run", moving_square()))))
    assert len(data["moments"]) == 10
    assert len(data["curves"]["done"]["t"]) <= 20
    assert data["moments"][-1]["t"] == pytest.approx(27 * 0.2)


@pytest.mark.skipif(BROWSER is None, reason="no chromium here to move the slider")
def test_a_browser_moves_the_slider(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", moving_square(), mode="dry_run")
    make_report(run)
    page = (run / "report.html").read_text()
    data = held(page)
    moves = """<script>
    const at = document.getElementById("scrub-at"), said = [];
    for (const value of [0, 12, 15]) {
      at.value = value; at.dispatchEvent(new Event("input"));
      const pictures = ["seen", "imagined"].map(name => document.getElementById("scrub-" + name).src.length);
      said.push([document.getElementById("scrub-time").textContent, document.getElementById("scrub-plan").textContent,
        ...pictures]);
    }
    document.body.innerHTML = "<pre>" + JSON.stringify(said) + "</pre>";
    </script></body>"""
    (run / "moved.html").write_text(page.replace("</body>", moves))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom"]
    done = subprocess.run(
        [str(BROWSER), *options, (run / "moved.html").as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r"<pre>(.*?)</pre>", done.stdout)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    said = json.loads(found[1])
    for (time, text, seen, imagined), index in zip(said, (0, 12, 15), strict=True):
        moment = data["moments"][index]
        assert time == f"{moment['t']:.1f} s"
        assert text == ("no plan imagines this moment" if index == 0 else data["plans"][moment["plan"]]["text"])
        assert seen == len(moment["seen"])
        assert imagined == len(moment["imagined"]) if index else imagined < 100
