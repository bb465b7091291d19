"""What the operator sees before a trial: cameras by picture, the reset scene; and the recording around a trial."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from foreign_bag import START, TYPES, header, image, scene

from robot_bridge.bags.recorded import IMAGE, JOINT_STATE
from robot_bridge.config import BridgeConfig
from robot_bridge.errors import BridgeError
from robot_bridge.listening.look import Heard, Look
from robot_bridge.trials.bag_runner import RecordingRunner, recorded_topics
from robot_bridge.trials.bench import Bench
from robot_bridge.trials.operator import Quit, Session, Task
from robot_bridge.trials.reference import ALIKE, Reference, likeness, similarity
from robot_bridge.trials.store import TrialStore
from robot_bridge.trials.trial import Figures, Setup
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.gripper import KNUCKLE_JOINT
from robot_model.ros_names import JOINT_STATES, arm_topic

TOPICS = ("/cam_a", "/cam_b", "/cam_c", "/spare")
WRONG = BridgeConfig(cameras=("left=/cam_b", "right=/cam_a", "wrist=/cam_c"))


class FakeCell:
    """Cameras that show a square at the given time; the arm in its reset pose."""

    def __init__(self, moved: float = 0.0, absent: Collection[str] = ()) -> None:
        self.moved, self.absent = moved, absent

    def __call__(self, topics: Collection[str], seconds: float) -> Look:
        names = [*(f"panda_joint{index}" for index in range(1, 8)), KNUCKLE_JOINT]
        state = TYPES[JOINT_STATE](header(START), names, np.append(DROID_RESET_JOINTS, 0.0), np.zeros(8), np.zeros(0))
        heard = {JOINT_STATES: Heard(JOINT_STATE, 31, 1.0, [0.001] * 31, state)}
        for index, topic in enumerate(TOPICS):
            picture = image(START, "rgb8", scene((640, 360), index % 3, self.moved))
            if topic not in self.absent:
                heard[topic] = Heard(IMAGE, 16, 1.0, [0.03] * 16, picture)
        return Look({topic: each.type for topic, each in heard.items()}, {arm_topic("panda"): 1}, heard, seconds)


class FakeConsole:
    def __init__(self, *answers: str) -> None:
        self.answers, self.said = list(answers), list[str]()

    def say(self, text: str) -> None:
        self.said.append(text)

    def ask(self, prompt: str) -> str:
        self.said.append(prompt)
        return self.answers.pop(0)

    def poll(self) -> str | None:
        return "s"


class FakeRunner:
    def __init__(self) -> None:
        self.calls = list[str]()

    def start(self, setup: Setup, folder: Path) -> None:
        self.calls.append("start")

    def wait(self, seconds: float) -> str | None:
        return None

    def stop(self) -> None:
        self.calls.append("stop")

    def abort(self) -> None:
        self.calls.append("abort")

    def figures(self) -> Figures:
        return Figures(plans=3)


class FakeRecorder:
    def __init__(self, calls: list[str], path: Path) -> None:
        self.calls = calls
        calls.append(f"record {path.name}")

    def note(self, what: str, **fields: Any) -> None:
        self.calls.append(f"note {what}")

    def say(self, topic: str, text: str) -> None:
        self.calls.append(f"{topic}: {text}")

    def close(self) -> None:
        self.calls.append("close")


def bench(tmp_path: Path, cell: FakeCell, config: BridgeConfig = WRONG) -> Bench:
    return Bench(config, tmp_path, "table1-carrot", cell)


def session(tmp_path: Path, made: Bench, console: FakeConsole, viewed: list[Path] | None = None) -> Session:
    store = TrialStore(tmp_path / "trials.db")

    def viewer(path: Path) -> bool:
        assert path.exists()
        (viewed if viewed is not None else []).append(path)
        return False

    task = Task("table1", "carrot", "put the carrot in the bowl")
    return Session(store, task, {"vidplan": FakeRunner()}, [made], console, bench=made, viewer=viewer)


LABELS = ("y", "y", "", "100", "")


def test_cameras_are_assigned_by_their_pictures(tmp_path: Path) -> None:
    made, viewed = bench(tmp_path, FakeCell()), list[Path]()
    console = FakeConsole("2 2 3", "9 1 2", "2 1 3", "", "g", *LABELS)
    session(tmp_path, made, console, viewed).round()
    assert made.cameras == {"left": "/cam_a", "right": "/cam_b", "wrist": "/cam_c"}
    assert made.options == ["--cameras", "left=/cam_a", "right=/cam_b", "wrist=/cam_c"]
    assert [path.name for path in viewed] == ["cameras.png", "cameras.png"], "shown again after a change"
    text = "\n".join(console.said)
    assert "three numbers" in text
    assert "from 1 to 4" in text
    assert str(tmp_path / "preflight/cameras.png") in text
    # Confirmed once a session; the next session begins with the assignment and shows it again.
    session(tmp_path, made, FakeConsole("g", *LABELS)).round()
    later = bench(tmp_path, FakeCell())
    later.recall()
    assert (later.cameras, later.confirmed) == (made.cameras, False)


def test_the_sheet_shows_every_camera(tmp_path: Path) -> None:
    made = bench(tmp_path, FakeCell(absent=["/cam_c"]))
    made.examine()
    sheet = cv2.imread(str(made.sheet()))
    assert sheet is not None
    assert made.topics == ["/cam_b", "/cam_a", "/cam_c", "/spare"]
    height, width = sheet.shape[0] // 2, sheet.shape[1] // 3
    means = [
        sheet[30 + row * height : (row + 1) * height, i * width : (i + 1) * width].mean((0, 1))
        for row in (0, 1)
        for i in range(3)
    ]
    blue, green, red = np.array(means[:2] + means[3:4]).T  # /cam_b, /cam_a, /spare; OpenCV reads BGR
    assert green[0] > red[0] + 10, "/cam_b is the green one"
    assert red[1] > green[1] + 10, "/cam_a is the red one"
    assert red[2] > blue[2] + 10, "/spare is red, too"


def test_a_trial_waits_for_its_cameras(tmp_path: Path) -> None:
    made = bench(tmp_path, FakeCell(absent=["/cam_b"]))
    checks = {check.name: check for check in made.examine()}
    assert not checks["camera left"].passed
    assert checks["camera right"].passed
    console = FakeConsole("", "g", "q")
    with pytest.raises(Quit):
        session(tmp_path, made, console).round()
    assert "Not ready" in console.said[-1]
    nobody = Bench(WRONG, tmp_path, "x", lambda topics, seconds: Look({"/rosout": "x"}, {}, {}, seconds))
    (alone,) = nobody.examine()
    assert (alone.passed, "ROS_DOMAIN_ID" in alone.advice) == (False, True)
    assert not nobody.has_pictures


def test_a_scene_is_reset_against_its_reference(tmp_path: Path) -> None:
    moves, viewed = iter([0.0, 0.0, 3.0, 0.0]), list[Path]()
    made = Bench(WRONG, tmp_path, "table1-carrot", lambda topics, seconds: FakeCell(next(moves))(topics, seconds))
    console = FakeConsole("", "r", "", "", "g", *LABELS)
    session(tmp_path, made, console, viewed).round()
    told = [line for line in console.said if line.startswith("  ok   reset")]
    assert "no reference picture yet" in told[0]
    assert "left 1.00 (1.00)" in told[1]
    assert "LOOK" not in told[1]
    moved = [line for line in told if "LOOK AT THE OVERLAY" in line]
    assert moved, "the square stands elsewhere"
    assert tmp_path / "preflight/reset.png" in viewed
    kept = Reference(tmp_path / "references/table1-carrot").load()
    assert sorted(kept) == ["left", "right", "wrist"]


def test_the_overlay_is_half_and_half(tmp_path: Path) -> None:
    reference = Reference(tmp_path / "r")
    dark, light = np.full((90, 160, 3), 40, np.uint8), np.full((90, 160, 3), 200, np.uint8)
    reference.take({"left": dark})
    found = reference.compare({"left": light, "right": light}, tmp_path / "sheet.png")
    assert list(found) == ["left"]
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet is not None
    shades = [int(sheet[180, 8 + 240 + column * 488].mean()) for column in range(3)]
    assert shades == pytest.approx([40, 200, 120], abs=2)


def test_similarity_has_its_textbook_values() -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (60, 80, 3), np.uint8)
    assert similarity(picture, picture).mean() == pytest.approx(1.0)
    flat, other = np.full_like(picture, 100), np.full_like(picture, 150)
    c1 = (0.01 * 255) ** 2
    assert similarity(flat, other).mean() == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), abs=1e-6)
    assert similarity(picture, rng.integers(0, 255, picture.shape, np.uint8)).mean() < 0.2


def test_the_worst_place_is_where_something_moved() -> None:
    before, after = np.full((2, 270, 480, 3), 90, np.uint8)
    after[200:230, 100:130] = 220
    found = likeness(before, after)
    assert found.overall > 0.95, "one small thing in a large picture"
    assert found.worst < ALIKE
    assert found.where == pytest.approx((115, 215), abs=24)


def test_no_reference_is_taken_of_a_dark_camera(tmp_path: Path) -> None:
    made = bench(tmp_path, FakeCell(absent=["/cam_b"]))
    made.examine()
    with pytest.raises(BridgeError, match="shows nothing"):
        made.take_reference()


def test_a_trial_is_recorded_until_the_arm_is_at_rest(tmp_path: Path) -> None:
    inner = FakeRunner()
    runner = RecordingRunner(inner, lambda path: FakeRecorder(inner.calls, path))
    runner.start(Setup("s", "carrot", "do it", "vidplan", 0, run="runs/s/carrot-0000"), tmp_path)
    assert runner.wait(0.0) is None
    runner.stop()
    runner.abort()
    before = ["record bag", "/vidplan/instruction: do it", "note start"]
    assert inner.calls == [*before, "start", "stop", "note stop", "close", "abort"]
    assert runner.figures() == Figures(plans=3, bag="runs/s/carrot-0000/bag")


def test_what_is_recorded(tmp_path: Path) -> None:
    topics = recorded_topics(BridgeConfig())
    for name in ("/zed_left/zed_node/left/color/rect/image", "/zed_wrist/zed_node/left/color/rect/camera_info"):
        assert name in topics
    assert {"/joint_states", "/tf_static", "/vidplan/status", arm_topic("panda")} <= set(topics)


def test_a_damaged_assignment_file_is_passed_over(tmp_path: Path) -> None:
    for text in ("{", "[]", json.dumps({"left": "/x"})):
        (tmp_path / "cameras.json").write_text(text)
        made = bench(tmp_path, FakeCell())
        made.recall()
        assert made.cameras["left"] == "/cam_b"
