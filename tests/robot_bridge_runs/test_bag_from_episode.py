from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from robot_bridge.bags import cli as bag_cli
from robot_bridge.bags.bag import Bag, BagError
from robot_bridge.bags.episode import decode_video, load_episode
from robot_bridge.bags.recorded import COMMANDED_POSE, decode
from robot_model import gripper, ros_names

FIFTEEN_HZ = {
    "observation.state.joint_position": None,
    "observation.state.gripper_position": None,
    "action.cartesian_position": None,
}


def joint_table(bag: Bag) -> np.ndarray:
    return np.array([decode(message).position for message in bag.messages([ros_names.JOINT_STATES])])


def test_a_bag_gives_back_what_the_episode_held(
    make_episode: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotation = make_episode(tmp_path)
    assert bag_cli.main(["from-episode", str(annotation), "--out", str(tmp_path / "out.bag"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["frames"] == 16
    assert result["instruction"] == "put the carrot in the bowl"

    bag = Bag(tmp_path / "out.bag")
    assert bag.problems == []
    assert bag.plannable
    episode = json.loads(annotation.read_text())
    recorded = joint_table(bag)
    np.testing.assert_allclose(recorded[:, :7], episode["observation.state.joint_position"][:46], atol=1e-12)
    np.testing.assert_allclose(
        gripper.from_radians(recorded[:, 7]), episode["observation.state.gripper_position"][:46], atol=1e-12
    )
    for index, view in enumerate(ros_names.CAMERAS):
        pictures = [decode(message) for message in bag.messages([ros_names.camera_topic(view)])]
        truth = list(decode_video(tmp_path / f"videos/val/7/{index}.mp4"))
        assert all(np.array_equal(p.data.reshape(48, 80, 4), t) for p, t in zip(pictures, truth, strict=True))
        stamps = [p.header.stamp.sec * 1e9 + p.header.stamp.nanosec for p in pictures]
        np.testing.assert_allclose(np.diff(stamps), 0.2e9)
    assert bag.topics[COMMANDED_POSE].count == 46
    times = [message.log_time for message in bag.messages()]
    assert times == sorted(times)
    assert not list(tmp_path.glob(".out*")), "the unfinished bag was left behind"


def test_joints_at_video_rate_are_enough(make_episode: Callable[..., Path], tmp_path: Path) -> None:
    full = load_episode(make_episode(tmp_path / "a"), "panda")
    sparse = load_episode(make_episode(tmp_path / "b", **FIFTEEN_HZ), "panda")
    assert "interpolated" in sparse.notes[0]
    np.testing.assert_allclose(sparse.joints, full.joints, atol=2e-3)
    assert sparse.commanded is None


def test_poses_alone_are_solved_for_joints(make_episode: Callable[..., Path], tmp_path: Path) -> None:
    from robot_model.franka import franka
    from robot_model.kinematics import ArmKinematics

    annotation = make_episode(tmp_path, joints=None, **FIFTEEN_HZ)
    episode = load_episode(annotation, "panda")
    reached = ArmKinematics(franka("panda")).forward_pose(episode.joints[-1])
    np.testing.assert_allclose(reached[:3], json.loads(annotation.read_text())["states"][-1][:3], atol=1e-3)


def test_an_episode_without_text_says_which_instruction_it_uses(
    make_episode: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotation = make_episode(tmp_path, texts=[""])
    assert bag_cli.main(["from-episode", str(annotation), "--out", str(tmp_path / "one.mcap")]) == 0
    assert f"using '{bag_cli.NO_TEXT}'" in capsys.readouterr().out
    [said] = [decode(message).data for message in Bag(tmp_path / "one.mcap").messages([ros_names.INSTRUCTION])]
    assert said == bag_cli.NO_TEXT


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"videos": [{"video_path": "videos/val/7/0.mp4"}]}, "1 videos listed, need 3"),
        ({"videos": [{"video_path": f"videos/val/7/{i}.mp4"} for i in (0, 1, 5)]}, "wrist view is missing"),
        ({"video_frames": 9}, "too short: annotated 16 frames, found left 9"),
        ({**FIFTEEN_HZ, "joints": None, "states": None}, "no robot state"),
        ({"observation.state.joint_position": [[1, 2]] * 48}, "7 per row; got 2"),
        ({"states": None, "joints": [["x"] * 8], **FIFTEEN_HZ}, "not a table of numbers"),
    ],
)
def test_a_faulty_episode_is_refused_with_the_reason(
    make_episode: Callable[..., Path], tmp_path: Path, changes: dict, words: str
) -> None:
    annotation = make_episode(tmp_path, **changes)
    with pytest.raises(BagError, match=words):
        load_episode(annotation, "panda")


def test_bad_json_and_a_damaged_video_are_refused_without_leaving_a_bag(
    make_episode: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    annotation = make_episode(tmp_path)
    (tmp_path / "videos/val/7/1.mp4").write_bytes(b"no video")
    assert bag_cli.main(["from-episode", str(annotation), "--out", str(tmp_path / "out")]) == 1
    assert "1.mp4: the video cannot be decoded" in capsys.readouterr().err
    annotation.write_text("{")
    assert bag_cli.main(["from-episode", str(annotation), "--out", str(tmp_path / "out")]) == 1
    assert "not valid JSON" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_every_real_episode_becomes_a_bag_description(droid: Path) -> None:
    annotations = sorted(droid.glob("annotation/*/*.json"))
    assert len(annotations) == 11
    for annotation in annotations:
        episode = load_episode(annotation, "panda")
        assert episode.frames == json.loads(annotation.read_text())["video_length"]
        assert len(episode.joints) >= 3 * (episode.frames - 1)
        assert not episode.notes
