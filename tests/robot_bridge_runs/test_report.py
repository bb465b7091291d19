from __future__ import annotations

import json
import re
from pathlib import Path

import av
import numpy as np
import pytest
from recorded_run import HORIZON, moving_square, write_run

from robot_bridge.report.fidelity import fidelity, psnr
from robot_bridge.report.make import make_report
from robot_bridge.report.run import load_run
from robot_bridge.report.strips import notable


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_run(tmp_path_factory.mktemp("runs") / "one", moving_square())
    make_report(path, {"success": False, "first_object": "carrot", "notes": ["from the <player>"]})
    return path


def test_the_summary_has_the_promised_figures(reported: Path) -> None:
    summary = json.loads((reported / "summary.json").read_text())
    events = [json.loads(line) for line in (reported / "events.jsonl").read_text().splitlines()]
    plans = [event for event in events if event["event"] == "plan"]
    assert (summary["plans"], summary["plans_refused"]) == (len(plans), 1)
    assert summary["seconds"] == pytest.approx(29 * 0.2)
    assert summary["median_plan_ms"] == pytest.approx(np.median([plan["latency_ms"] for plan in plans]), abs=0.1)
    assert summary["p95_plan_ms"] <= max(plan["latency_ms"] for plan in plans)
    assert summary["rejected"] == {"first_waypoint": 1}
    assert summary["holds"] == 1, "waiting for a plan that is on its way is no hold"
    assert (summary["success"], summary["first_object"]) == (False, "carrot")


def test_the_video_plays_and_shows_what_really_happened(reported: Path) -> None:
    with av.open(str(reported / "video.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height % 2) == (960, 0)
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    run = load_run(reported)
    assert len(frames) == len(run.plans) * (HORIZON + 2)
    # The square moves to the right in the last column (what happened) and stays in the first (what was seen).
    first, last = frames[0].astype(int), frames[HORIZON - 1].astype(int)
    assert np.abs(first - last)[104:230, 732:944].mean() > 2
    assert np.abs(first - last)[104:230, 72:284].mean() < 0.5


def test_the_page_stands_alone_and_escapes_what_it_shows(reported: Path) -> None:
    page = (reported / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page), "an outside resource"
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"|rdf:\w+="[^"]*"|<!DOCTYPE[^>]*>', "", page)
    assert "put the &lt;carrot&gt; in the bowl" in page
    assert "from the &lt;player&gt;" in page
    assert page.count("<svg") == 4
    assert page.count("<video") == 1
    for words in ("first waypoint", "no valid plan left", "refused", "what then happened"):
        assert words in page.replace("_", " ")
    assert page.index("<video") < page.index("Plan by plan") < page.index("<svg")
    # The teaching part compares with repeating the last frame, per imagined frame.
    assert page.count(" dB") >= 2 * HORIZON


def test_imagined_frames_are_compared_with_the_frames_of_their_time(tmp_path: Path) -> None:
    real = moving_square()
    run = load_run(write_run(tmp_path / "run", real))
    pictures = run.imagined(run.plans[0])
    assert pictures is not None
    score = fidelity(run, pictures)
    assert np.isfinite(score.imagined).all()
    assert (np.diff(score.imagined) < 0).all(), "the imagined frames are blurred more and more"
    assert score.imagined[0] > score.repeated[0] + 3
    for stamp in sorted((tmp_path / "run" / "frames").iterdir())[3:5]:
        stamp.unlink()
    run = load_run(tmp_path / "run")
    assert np.isnan(fidelity(run, pictures).imagined).sum() == 2, "no real frame, no figure"


def test_psnr_has_its_textbook_values() -> None:
    flat = np.zeros((4, 4, 3), np.uint8)
    assert psnr(flat, flat) == 100.0
    assert psnr(flat, flat + np.uint8(1)) == pytest.approx(48.13, abs=0.01)


def test_a_run_that_was_cut_off_is_still_reported(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", moving_square())
    with (path / "events.jsonl").open("a") as log:
        log.write('{"t": 1003.0, "event": "pl')
    (path / "plans" / "00002.npz").write_bytes(b"half")
    (path / "run.json").unlink()
    summary = make_report(path)
    assert len(summary["notes"]) == 2
    assert (path / "report.html").exists()
    assert len(notable(load_run(path))) == len(load_run(path).plans) - 1


def test_a_run_without_any_plan_is_reported_as_such(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text('{"t": 3.0, "event": "started"}\n')
    summary = make_report(tmp_path, {"notes": ["no /joint_states in the bag"]})
    assert (summary["plans"], summary["median_plan_ms"]) == (0, None)
    page = (tmp_path / "report.html").read_text()
    assert "no /joint_states in the bag" in page
    assert "there is no video" in page
    assert not (tmp_path / "video.mp4").exists()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_pictures_that_were_cut_off_while_writing_are_left_out(tmp_path: Path, share: float) -> None:
    path = write_run(tmp_path / "run", moving_square())
    file = sorted((path / "plans").glob("*.npz"))[0]
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    run = load_run(path)
    first, second, *_ = (run.imagined(plan) for plan in run.plans)
    assert first is None
    assert second is not None
