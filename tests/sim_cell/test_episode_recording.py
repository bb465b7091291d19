from __future__ import annotations

import json
import os
from pathlib import Path

import av
import numpy as np
import pytest

from robot_model.franka import PANDA
from robot_model.kinematics import ArmKinematics
from sim_cell import cli
from sim_cell.dataset import Dataset
from sim_cell.episode import Episode, halve_classes, record
from sim_cell.errors import DatasetMismatchError
from sim_cell.objects import CLASSES, NAMES


@pytest.fixture(scope="module")
def pick(cell) -> Episode:
    return record(cell, seed=1, index=9)  # 9: a scripted pick, and one that goes to the validation split


def arrays(episode: Episode) -> dict[str, np.ndarray]:
    return {name: value for name, value in vars(episode).items() if isinstance(value, np.ndarray)}


def test_a_scripted_pick_ends_with_the_target_in_the_bowl(pick):
    assert (pick.behaviour, pick.target, pick.success) == ("pick", NAMES[3], True)
    frames, steps = len(pick.images), len(pick.joints)
    assert steps == 3 * (frames - 1) + 1
    assert frames < 45
    target, bowl = pick.object_positions[:, 3], pick.object_positions[:, CLASSES.index("bowl") - 1]
    assert np.linalg.norm((target - bowl)[-1, :2]) < 0.065
    assert np.linalg.norm((target - bowl)[0, :2]) > 0.1
    assert target[:, 2].max() > 0.1
    assert pick.gripper.max() > 0.4
    assert pick.gripper[-1] < 0.1


def test_measured_and_commanded_motion_belong_together(pick):
    kinematics = ArmKinematics(PANDA)
    np.testing.assert_allclose(kinematics.forward_pose(pick.joints), pick.poses, atol=1e-9)
    # What is commanded at a step is where the arm is one step later.
    error = np.linalg.norm(pick.commanded_poses[:-1, :3] - pick.poses[1:, :3], axis=1)
    assert np.median(error) < 0.002
    speed = np.linalg.norm(np.diff(pick.poses[:, :3], axis=0), axis=1) * 15
    assert 0.1 < speed.max() < 0.4
    assert (np.abs(pick.commanded_velocities) <= PANDA.velocity).all()


def test_an_episode_depends_only_on_its_seed_and_index(cell, pick):
    record(cell, seed=1, index=1)
    again = record(cell, seed=1, index=9)
    for name, value in arrays(pick).items():
        np.testing.assert_array_equal(value, arrays(again)[name], err_msg=name)


def test_small_objects_survive_the_halving_of_the_classes():
    classes = np.zeros((4, 4), np.uint8)
    classes[0, 0] = CLASSES.index("pea")
    classes[0, 1] = classes[1, 0] = CLASSES.index("robot")
    classes[2:, 2:] = CLASSES.index("bowl")
    classes[3, 3] = CLASSES.index("carrot")
    classes[0, 2] = CLASSES.index("robot")
    expected = [[CLASSES.index("pea"), CLASSES.index("robot")], [0, CLASSES.index("carrot")]]
    np.testing.assert_array_equal(halve_classes(classes), expected)


def test_the_files_hold_what_was_recorded(tmp_path, pick):
    dataset = Dataset(tmp_path, seed=1, width=80, height=48)
    dataset.prepare()
    assert not dataset.has(9)
    dataset.write(9, pick)
    assert dataset.has(9)

    annotation = json.loads((tmp_path / "annotation/val/9.json").read_text())
    frames, steps = len(pick.images), len(pick.joints)
    assert annotation["texts"] == ["put the carrot in the bowl"]
    assert (annotation["success"], annotation["video_length"], annotation["raw_length"]) == (1, frames, steps)
    assert np.shape(annotation["states"]) == (frames, 7)
    assert np.shape(annotation["joints"]) == (frames, 8)
    np.testing.assert_allclose(
        np.array(annotation["states"])[:, :6], annotation["observation.state.cartesian_position"][::3]
    )
    for key, width in (("cartesian_position", 6), ("joint_position", 7)):
        assert np.shape(annotation[f"action.{key}"]) == (steps, width)
    cameras = annotation["vidplan"]["cameras"]
    assert np.shape(cameras["left"]["T_base_camera"]) == (4, 4)
    assert np.shape(cameras["wrist"]["T_flange_camera"]) == (4, 4)
    assert cameras["left"]["size"] == [80, 48]

    for view, video in enumerate(annotation["videos"]):
        with av.open(str(tmp_path / video["video_path"])) as container:
            assert container.streams.video[0].average_rate == 5
            decoded = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        assert decoded.shape == pick.images[:, view].shape
        assert np.abs(decoded.astype(float) - pick.images[:, view]).mean() < 4
    labels = np.load(tmp_path / annotation["vidplan"]["labels"])
    np.testing.assert_array_equal(labels["segmentation"], pick.classes)
    assert labels["object_positions"].shape == (frames, len(CLASSES) - 2, 3)
    assert json.loads((tmp_path / "labels/classes.json").read_text()) == list(CLASSES)


def test_damaged_episodes_count_as_missing_and_foreign_ones_are_refused(tmp_path, pick):
    dataset = Dataset(tmp_path, seed=1, width=80, height=48)
    dataset.write(9, pick)
    with pytest.raises(DatasetMismatchError, match="seed 1"):
        Dataset(tmp_path, seed=2, width=80, height=48).has(9)
    with pytest.raises(DatasetMismatchError, match="size"):
        Dataset(tmp_path, seed=1, width=160, height=96).has(9)
    os.truncate(tmp_path / "videos/val/9/2.mp4", 0)
    assert not dataset.has(9)
    dataset.write(9, pick)
    annotation = tmp_path / "annotation/val/9.json"
    annotation.write_text(annotation.read_text()[:1000])
    assert not dataset.has(9)


def test_other_classes_are_refused(tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/classes.json").write_text('["background", "banana"]')
    with pytest.raises(DatasetMismatchError, match="another folder"):
        Dataset(tmp_path, 0, 80, 48).prepare()


def test_the_command_adds_what_is_missing_and_does_not_depend_on_workers(tmp_path, cell, capsys):
    def files(root: Path) -> dict[str, bytes]:
        found = (path for path in root.rglob("*") if path.is_file() and path.suffix != ".mp4")
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    def video(path: Path) -> np.ndarray:
        with av.open(str(path)) as container:
            return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(float)

    alone, begun = (Dataset(tmp_path / name, 1, 80, 48, "varied") for name in ("alone", "begun"))
    alone.prepare()
    for index in (1, 0):
        alone.write(index, record(cell, 1, index, "varied"))
    begun.prepare()
    begun.write(0, record(cell, 1, 0, "varied"))
    (tmp_path / "begun/videos/train/1").mkdir()
    (tmp_path / "begun/videos/train/1/0.mp4").write_bytes(b"interrupted")

    arguments = ["record", "--width", "80", "--height", "48", "--out", str(tmp_path / "begun"), "--episodes", "2"]
    assert cli.main([*arguments, "--seed", "1", "--workers", "2"]) == 0
    assert "1 episodes written" in capsys.readouterr().out
    assert files(tmp_path / "begun") == files(tmp_path / "alone")
    videos = sorted((tmp_path / "alone" / "videos").rglob("*.mp4"))
    assert len(videos) == 6
    for path in videos:  # a busy software renderer is not exact to the bit
        again = video(tmp_path / "begun" / path.relative_to(tmp_path / "alone"))
        assert np.abs(again - video(path)).mean() < 0.5, path

    assert cli.main([*arguments, "--seed", "1"]) == 0
    assert "0 episodes written" in capsys.readouterr().out
    assert cli.main([*arguments, "--seed", "2"]) == 1
    assert "seed 1" in capsys.readouterr().err
    assert cli.main([*arguments, "--seed", "1", "--look", "plain"]) == 1
    assert "look varied" in capsys.readouterr().err
