"""Bags of other laboratories, read through a mapping file."""

from __future__ import annotations

from pathlib import Path

import foreign_bag
import numpy as np
import pytest
from foreign_bag import CAMERAS, JOINTS, START, image, scene, write_foreign

from robot_bridge.bags import cli as bag_cli
from robot_bridge.bags.bag import Bag
from robot_bridge.bags.mapping import BagMapping, GripperSource, load_mapping
from robot_bridge.bags.recorded import COMPRESSED, IMAGE, decode, picture_topics
from robot_bridge.errors import ConfigError
from robot_bridge.sensing.images import compressed_to_rgb, image_to_rgb
from robot_bridge.sensing.joint_states import JointReader
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.ros_names import JOINT_STATES, camera_topic

MAPPING = f"""
robot: panda
cameras: {{left: /front_left/color/image_raw, right: /front_right/image/compressed, wrist: /hand_eye/image_raw}}
joints: {{topic: /lab/arm_states, names: [{", ".join(JOINTS)}]}}
gripper: {{topic: /gripper_width, open: 80, closed: 0}}
instruction_topic: /task_description
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    for storage in ("sqlite3", "mcap"):
        write_foreign(folder / storage, seconds=2.0, storage=storage)
    (folder / "lab.yaml").write_text(MAPPING)
    return folder


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_a_mapping_makes_a_foreign_bag_a_stock_one(folder: Path, storage: str) -> None:
    assert not Bag(folder / storage).plannable
    bag = Bag(folder / storage, load_mapping(folder / "lab.yaml"))
    assert bag.plannable
    assert [problem.text for problem in bag.problems] == []
    assert (bag.robot, bag.instructions()) == ("panda", ["pick up the towel"])
    assert list(bag.needed) == [
        camera_topic("left"),
        camera_topic("right") + "/compressed",
        camera_topic("wrist"),
        JOINT_STATES,
    ]
    assert bag.spread == pytest.approx(0.027, abs=0.001), "the wrist's frames come 40 ms later, 27 ms before the next"

    reader, samples = JointReader("panda"), []
    for message in bag.messages([JOINT_STATES]):
        state = decode(message)
        assert state is not None
        sample = reader.read((message.stamp or 0) / 1e9, state.name, state.position, state.velocity)
        assert sample is not None, "every state names a Panda's joints"
        samples.append(sample)
    assert len(samples) == 100
    swing = DROID_RESET_JOINTS + [0.3 * np.sin(30 / 50), 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(samples[30].joints, swing, err_msg="the joints are told apart by their names")
    assert [samples[10].gripper, samples[90].gripper] == [0.0, 1.0], "80 mm wide is open, 0 mm is closed"


def test_pixels_come_through_whatever_the_encoding(folder: Path) -> None:
    bag = Bag(folder / "sqlite3", load_mapping(folder / "lab.yaml"))
    for shade, (name, (encoding, size)) in enumerate(zip(bag.needed, CAMERAS.values(), strict=False)):
        first = next(iter(bag.messages([name])))
        decoded = decode(first)
        rgb = compressed_to_rgb(decoded) if first.type == COMPRESSED else image_to_rgb(decoded)
        assert rgb.shape == (size[1], size[0], 3)
        far = np.abs(rgb.astype(int) - scene(size, shade, 0.02 * shade)).mean()
        assert far < (2.0 if encoding == "jpeg" else 0.01)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "bgra8", "mono8"])
def test_every_usual_encoding_is_read(encoding: str) -> None:
    picture = scene((64, 36), 1, 0.0)
    rgb = image_to_rgb(image(START, encoding, picture))
    if encoding == "mono8":
        assert (np.ptp(rgb, axis=2) == 0).all()
    else:
        np.testing.assert_array_equal(rgb, picture)


def test_a_proposed_mapping_plans_without_being_touched_where_the_names_tell(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "proposed.yaml"
    assert bag_cli.main(["inspect", str(folder / "mcap"), "--write-mapping", str(file)]) == 0
    assert "CHECK" in capsys.readouterr().out, "guesses are marked"
    proposed, wanted = load_mapping(file), load_mapping(folder / "lab.yaml")
    assert proposed.cameras == wanted.cameras
    assert (proposed.joints_topic, proposed.joints, proposed.gripper) == ("/lab/arm_states", JOINTS, wanted.gripper)
    assert Bag(folder / "mcap", proposed).plannable
    assert (tmp_path / "proposed.png").stat().st_size > 1000
    assert bag_cli.main(["inspect", str(folder / "mcap"), "--write-mapping", str(file)]) == 1, "never written over"


def test_a_bag_without_three_cameras_gets_no_mapping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(CAMERAS, "/hand_eye/image_raw")
    bag = write_foreign(tmp_path / "two", seconds=0.5)
    assert bag_cli.main(["inspect", str(bag), "--write-mapping", str(tmp_path / "m.yaml")]) == 1
    assert not (tmp_path / "m.yaml").exists()


def test_depth_right_eyes_and_twins_are_no_cameras() -> None:
    names = [
        "/cam/image",
        "/cam/image/compressed",
        "/lone/compressed",
        "/cam/depth/image",
        "/zed/right/image",
        "/cam/infra1",
    ]
    kinds = dict.fromkeys(names, IMAGE) | {"/talk": "std_msgs/msg/String"}
    kinds |= {name: COMPRESSED for name in names if name.endswith("compressed")}
    assert picture_topics(kinds) == ["/cam/image", "/lone/compressed"]


def test_stamps_of_another_clock_are_replaced_by_those_of_receipt(tmp_path: Path) -> None:
    write_foreign(tmp_path / "old", seconds=1.0, lag=3600.0)
    (tmp_path / "lab.yaml").write_text(MAPPING)
    assert {problem.kind for problem in Bag(tmp_path / "old", load_mapping(tmp_path / "lab.yaml")).problems} == {
        "clock"
    }
    assert bag_cli.main(["inspect", str(tmp_path / "old"), "--write-mapping", str(tmp_path / "new.yaml")]) == 0
    bag = Bag(tmp_path / "old", load_mapping(tmp_path / "new.yaml"))
    assert bag.mapping.stamps == "receipt"
    assert not bag.damaged
    assert all(message.stamp == message.log_time for message in bag.messages(bag.needed))


def test_a_fast_camera_is_thinned_out_evenly(folder: Path) -> None:
    given = load_mapping(folder / "lab.yaml")
    thin = BagMapping(**{**vars(given), "frame_rate": 5.0})
    stamps = [(m.stamp or 0) / 1e9 for m in Bag(folder / "mcap", thin).messages([camera_topic("left")])]
    assert len(stamps) == 10
    np.testing.assert_allclose(np.diff(stamps), 0.2, atol=0.001)


def test_frames_of_a_slow_camera_are_held(tmp_path: Path) -> None:
    write_foreign(tmp_path / "slow", seconds=4.0, rate=3.0)
    assert bag_cli.main(["inspect", str(tmp_path / "slow"), "--write-mapping", str(tmp_path / "m.yaml")]) == 0
    mapping = load_mapping(tmp_path / "m.yaml")
    assert mapping.hold_frames
    bag = Bag(tmp_path / "slow", mapping)
    assert {problem.kind for problem in bag.problems} == {"slow"}
    for name in list(bag.needed)[:3]:
        frames = list(bag.messages([name, JOINT_STATES]))
        assert [m.log_time for m in frames] == sorted(m.log_time for m in frames)
        shown = [m for m in frames if m.topic == name]
        stamps = np.array([m.stamp or 0 for m in shown]) / 1e9
        assert (np.diff(stamps) > 0).all()
        assert np.diff(stamps).max() < 0.17, "the planner looks every 0.2 s"
        assert len({m.data[12:] for m in shown}) == 12, "and sees every picture, and none that was not recorded"
        assert len(shown) > 24
        assert stamps.max() < START / 1e9 + 4.3, "a camera that has stopped is not held for ever"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("robot: panda", "robot: ur5"), "panda, fr3"),
        (("robot: panda", ""), "say which arm"),
        (("left:", "middle:"), "cameras: middle"),
        ((", lab_arm_j7]", "]"), "seven joints"),
        (("open: 80", "open: 0"), "two different values"),
        (("open: 80", "open: wide"), "gripper.open"),
        (("open: 80,", ""), "gripper.open"),
        (("wrist: /hand_eye/image_raw", "wrist: /front_left/color/image_raw"), "two cameras"),
        (("robot: panda", "robot: panda\nframe_rate: 0"), "frame_rate"),
        (("robot: panda", "robot: panda\nhold_frames: 1"), "true or false"),
        (("robot: panda", "robot: panda\nstamp: header"), "stamp"),
        (("robot: panda", "robot: [panda"), "cannot be read"),
    ],
)
def test_a_wrong_entry_is_named_with_its_file(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    file = tmp_path / "wrong.yaml"
    assert change[0] in MAPPING
    file.write_text(MAPPING.replace(*change))
    with pytest.raises(ConfigError, match=words) as caught:
        load_mapping(file)
    assert "wrong.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"gripper": GripperSource("/gripper_width", open=0.08, closed=0.0)},
            "from 0 to 80, the mapping says open 0.08",
        ),
        ({"joints": (*JOINTS[:3], JOINTS[5], JOINTS[4], JOINTS[3], JOINTS[6])}, "another order of joints?"),
    ],
)
def test_other_units_than_the_mapping_says_are_told(folder: Path, change: dict, words: str) -> None:
    bag = Bag(folder / "mcap", BagMapping(**{**vars(load_mapping(folder / "lab.yaml")), **change}))
    assert bag.damaged
    assert [problem.kind for problem in bag.problems] == ["units"]
    assert words in bag.problems[0].text


def test_joints_in_degrees_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_bag, "DROID_RESET_JOINTS", np.degrees(DROID_RESET_JOINTS))
    write_foreign(tmp_path / "bag", seconds=0.5)
    (tmp_path / "lab.yaml").write_text(MAPPING)
    (problem,) = Bag(tmp_path / "bag", load_mapping(tmp_path / "lab.yaml")).problems
    assert "Are these degrees" in problem.text


def test_a_mapping_that_does_not_fit_the_bag_says_what_is_missing(folder: Path) -> None:
    given = vars(load_mapping(folder / "lab.yaml"))
    wrong = BagMapping(
        **{**given, "joints": ("elbow", *JOINTS[1:]), "gripper": GripperSource("/no_gripper", open=0, closed=1)}
    )
    bag = Bag(folder / "mcap", wrong)
    assert not bag.plannable
    text = " ".join(problem.text for problem in bag.problems)
    assert "the mapping wants elbow too" in text
    lost = BagMapping(**{**given, "cameras": {**given["cameras"], "wrist": "/hand/image"}})
    (missing,) = [problem.text for problem in Bag(folder / "mcap", lost).problems]
    assert "/hand_eye/image_raw. Mend its name in the mapping file" in missing
    assert "/no_gripper" in text
