from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_dataset, write_episode

from models.data import Dataset
from models.errors import DatasetError
from models.testing import random_bundle_config
from models.training.outcomes import read_outcomes


def test_reads_frames_labels_poses_commands_and_cameras(dataset: Path):
    data = Dataset(dataset, "train", progress=False)
    assert (len(data), len(data.episodes)) == (36, 3)
    assert data.frames.shape == (36, 3, 48, 80, 3)
    assert data.segmentation.shape == (36, 3, 48, 80)
    orange = data.frames[5, 0][data.segmentation[5, 0] == 1].mean(0)
    assert np.abs(orange - [240, 110, 20]).max() < 40
    assert data.classes == ("background", "carrot", "pea", "bowl", "robot")
    wanted = random_bundle_config().cameras
    for read, camera in zip(data.cameras, wanted, strict=True):  # the videos are twice the image size
        assert np.allclose(read.matrix, camera.matrix)
        assert np.allclose(read.transform, camera.transform)


def test_the_command_of_a_frame_is_the_one_due_then(dataset: Path):
    """In the synthetic data the arm follows its command exactly one control period later."""
    data = Dataset(dataset, "train", progress=False)
    rows = data.clips(1, 0)
    assert np.abs(data.per_frame("poses")[rows, :6] - data.per_frame("commands")[rows, :6]).max() < 1e-6


def test_clips_stay_inside_their_episode(dataset: Path):
    data = Dataset(dataset, "train", progress=False)
    rows = data.clips(before=1, after=5)
    assert len(rows) == 3 * 6
    assert all(1 <= row % 12 <= 6 for row in rows)


def test_damaged_and_short_episodes_are_skipped_with_a_reason(tmp_path: Path):
    root = write_dataset(tmp_path, episodes=2)
    rng = np.random.default_rng(0)
    write_episode(root, "train", "10", 3, rng)
    write_episode(root, "train", "11", 12, rng)
    (root / "videos/train/11/1.mp4").write_bytes(b"not a video")
    write_episode(root, "train", "12", 12, rng)
    (root / "videos/train/12/2.mp4").unlink()
    (root / "annotation/train/13.json").write_text('{"texts": [')
    (root / "annotation/train/14.json").write_text('{"texts": ["x"]}')
    write_episode(root, "train", "15", 12, rng)
    (root / "labels/train/15.npz").write_bytes(b"")
    data = Dataset(root, "train", progress=False)
    assert [cached.episode.name for cached in data.episodes] == ["0", "1"]
    assert set(data.skipped) == {"10", "11", "12", "13", "14", "15"}
    assert "3 frames" in data.skipped["10"]
    assert "video" in data.skipped["11"]
    assert "JSON" in data.skipped["13"]
    assert "labels" in data.skipped["15"]


def test_new_episodes_are_appended_to_the_cache_and_changed_ones_rebuild_it(tmp_path: Path):
    root = write_dataset(tmp_path, episodes=2)
    before = np.array(Dataset(root, "train", progress=False).frames)
    write_episode(root, "train", "2", 9, np.random.default_rng(5))
    grown = Dataset(root, "train", progress=False)
    assert np.array_equal(grown.frames[: len(before)], before)
    assert len(grown) == len(before) + 9
    assert len(Dataset(root, "train", progress=False)) == len(grown)
    shutil.copy(root / "annotation/train/2.json", root / "annotation/train/0.json")
    (root / "annotation/train/2.json").unlink()
    assert [c.length for c in Dataset(root, "train", progress=False).episodes] == [9, 12]


def test_an_interrupted_decode_leaves_nothing_wrong(tmp_path: Path):
    root = write_dataset(tmp_path, episodes=2)
    before = np.array(Dataset(root, "train", progress=False).frames)
    cache = next(root.glob(".cache/*/train"))
    with open(cache / "frames.u8", "ab") as stream:
        stream.write(b"half an episode")
    assert np.array_equal(Dataset(root, "train", progress=False).frames, before)


def test_missing_or_empty_splits_say_so(tmp_path: Path):
    with pytest.raises(DatasetError, match="vidplan sim record"):
        Dataset(tmp_path, "train")
    (tmp_path / "annotation/train").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no usable episode"):
        Dataset(tmp_path, "train")


def test_view_order_of_the_recording_is_honoured(tmp_path: Path):
    root = write_dataset(tmp_path, episodes=1)
    path = root / "annotation/train/0.json"
    annotation = json.loads(path.read_text())
    shutil.rmtree(root / "videos/train/0")
    annotation["vidplan"]["view_order"] = ["wrist", "left", "right"]
    annotation["vidplan"].pop("labels")
    from synthetic import write_video

    for view, level in enumerate((200, 30, 110)):
        write_video(root / annotation["videos"][view]["video_path"], np.full((12, 96, 160, 3), level, np.uint8))
    path.write_text(json.dumps(annotation))
    frames = Dataset(root, "train", progress=False).frames
    assert [round(frames[0, view].mean() / 10) for view in range(3)] == [3, 11, 20]


def test_real_droid_episodes_load_without_labels_or_cameras(droid: Path, tmp_path: Path):
    for folder in ("annotation", "videos"):
        (tmp_path / folder).symlink_to(droid / folder)
    data = Dataset(tmp_path, "val", progress=False)
    assert not data.skipped
    assert len(data.episodes) == 4
    assert data.cameras is None
    assert data.classes == ()
    assert data.frames.std() > 10
    assert not data.segmentation.any()
    assert np.isfinite(data.per_frame("poses")).all()


def test_outcomes_know_the_target_and_what_else_came_true(dataset: Path):
    outcomes = read_outcomes(Dataset(dataset, "train", progress=False))
    assert outcomes.phrases == ("carrot", "pea")
    assert outcomes.target.tolist() == [0, 0, 0]
    assert outcomes.done.tolist() == [[1, 0]] * 3  # the annotation says success; the pea lies 0.4 m from the bowl
    assert outcomes.ends.tolist() == [12, 24, 36]
    assert outcomes.episode_of[[0, 11, 12, 35]].tolist() == [0, 0, 1, 2]
