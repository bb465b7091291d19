from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from synthetic import write_dataset, write_episode, write_video

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


def change(root: Path, name: str, edit: Callable[[dict], object]) -> None:
    path = root / "annotation/train" / f"{name}.json"
    values = json.loads(path.read_text())
    edit(values)
    path.write_text(json.dumps(values))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


STATE = "observation.state.cartesian_position"
GRIPPER = "observation.state.gripper_position"
NOISE = np.random.default_rng(0).integers(0, 255, (12, 96, 160, 3), dtype=np.uint8)


def fewer_frames(path: Path) -> None:
    write_video(path, NOISE[:8])


def garble(path: Path) -> None:
    """Overwrite the middle of a file, as a bad copy does; the decoder conceals it and goes on."""
    write_video(path, NOISE)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    path.write_bytes(bytes(content))


BROKEN_FILES = {
    "video missing": (Path.unlink,),
    "video damaged": (lambda path: path.write_bytes(b""), cut, garble),
    "lengths differ": (fewer_frames,),
}
BROKEN_VALUES = {
    "states unusable": (
        lambda v: v[STATE][4].__setitem__(2, float("nan")),
        lambda v: v[STATE][4].pop(),
        lambda v: v.update({STATE: [row[:5] for row in v[STATE]]}),
        lambda v: v.update({GRIPPER: v[GRIPPER][:-2]}),
        lambda v: v.update({"action.cartesian_position": v["action.cartesian_position"][:9]}),
        lambda v: [v.pop(STATE), v.update(states=[["x"] * 7])],
    ),
    "annotation incomplete": (
        lambda v: v.pop("videos"),
        lambda v: v["videos"].pop(),
        lambda v: v.pop(GRIPPER),
        lambda v: [v.pop(STATE), v.pop("states")],
        lambda v: v["vidplan"]["cameras"].pop("left"),
    ),
}


def test_every_way_an_episode_can_be_broken_is_counted_and_named(tmp_path: Path):
    root = write_dataset(tmp_path, episodes=2)
    rng = np.random.default_rng(0)
    wanted: dict[str, str] = {}

    def add(kind: str) -> str:
        name = str(10 + len(wanted))
        write_episode(root, "train", name, 12, rng)
        wanted[name] = kind
        return name

    for kind, harms in BROKEN_FILES.items():
        for harm in harms:
            harm(root / "videos/train" / add(kind) / "1.mp4")
    for kind, edits in BROKEN_VALUES.items():
        for edit in edits:
            change(root, add(kind), edit)
    write_episode(root, "train", add("too short"), 4, rng)
    for content in ('{"texts": [', "", "\x00"):
        (root / "annotation/train" / f"{add('annotation unreadable')}.json").write_text(content)
    (root / "annotation/train" / f"{add('annotation incomplete')}.json").write_text("[1, 2]")
    (root / "labels/train" / f"{add('labels damaged')}.npz").write_bytes(b"")

    data = Dataset(root, "train", progress=False)
    assert [cached.episode.name for cached in data.episodes] == ["0", "1"]
    assert {name: reason.split(":")[0] for name, reason in data.skipped.items()} == wanted
    assert data.summary() == (
        f"train: 2 episodes used, {len(wanted)} skipped: 6 states unusable, 6 annotation incomplete, "
        "3 annotation unreadable, 3 video damaged, 1 video missing, 1 lengths differ, 1 too short, 1 labels damaged"
    )
    details = data.summary(details=True).splitlines()
    assert len(details) == 1 + len(wanted)
    assert any(line.endswith("states unusable: the states (not finite from step 4 on)") for line in details)
    again = Dataset(root, "train", progress=False)
    assert (again.summary(), len(again)) == (data.summary(), len(data))


def test_a_split_without_usable_episodes_says_why(tmp_path: Path):
    root = write_dataset(tmp_path, episodes=1)
    (root / "videos/train/0/2.mp4").unlink()
    with pytest.raises(DatasetError, match=r"0: video missing: .*2\.mp4"):
        Dataset(root, "train", progress=False)


def test_a_cached_episode_may_be_too_short_for_the_next_reader(tmp_path: Path):
    root = write_dataset(tmp_path, episodes=1)
    write_episode(root, "train", "1", 9, np.random.default_rng(0))
    assert len(Dataset(root, "train", progress=False)) == 21
    patient = Dataset(root, "train", progress=False, shortest=10)
    assert patient.summary().endswith("1 episode used, 1 skipped: 1 too short")


def test_data_that_is_not_ours_is_cached_elsewhere_and_left_alone(tmp_path: Path):
    root = write_dataset(tmp_path / "data", episodes=1)
    before = sorted(root.rglob("*"))
    first = Dataset(root, "train", progress=False, cache=tmp_path / "cache")
    assert np.array_equal(first.frames, Dataset(root, "train", progress=False, cache=tmp_path / "cache").frames)
    assert sorted(root.rglob("*")) == before


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
