from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from lerobot_files import STEPS, VIEWS, grey, steps_of, write_v21, write_v30, write_video

from models.data import Dataset
from models.errors import DatasetError

Writer = Callable[..., Path]
both = pytest.mark.parametrize("write", [write_v21, write_v30])


def edit_info(root: Path, **values: object) -> None:
    file = root / "meta" / "info.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@both
def test_frames_states_and_commands_belong_together(write: Writer, tmp_path: Path):
    data = Dataset(write(tmp_path, 3), "train", progress=False)
    assert [cached.episode.name for cached in data.episodes] == ["episode_000001", "episode_000002"]
    assert data.frames.shape == (22, 3, 48, 80, 3)
    for number, cached in enumerate(data.episodes, start=1):
        for view in range(3):
            seen = data.frames[cached.start : cached.start + cached.length, view].mean(axis=(1, 2, 3))
            assert np.abs(seen - [grey(number, view, 3 * frame) for frame in range(11)]).max() < 2
        steps = steps_of(number)
        poses = np.c_[
            steps["observation.state.cartesian_position"], np.ravel(steps["observation.state.gripper_position"])
        ]
        assert np.allclose(cached.episode.poses, poses[::3])
        assert np.allclose(cached.episode.commands, poses[::3], atol=1e-6)
        assert cached.episode.text == f"move number {number}"
        assert cached.episode.success == (number == 1)
    assert data.cameras is None
    assert data.classes == ()
    assert not data.segmentation.any()


@both
def test_views_come_in_the_order_asked_for(write: Writer, tmp_path: Path):
    data = Dataset(write(tmp_path, 2), "train", views=("wrist", "left"), progress=False)
    assert [round(level) for level in data.frames[0].mean(axis=(1, 2, 3))] == pytest.approx(
        [grey(1, 2, 0), grey(1, 0, 0)], abs=2
    )


@both
def test_every_tenth_episode_is_held_out_unless_the_dataset_says_otherwise(write: Writer, tmp_path: Path):
    def names(root: Path, split: str) -> list[int]:
        return [int(cached.episode.name[-6:]) for cached in Dataset(root, split, progress=False).episodes]

    plain = write(tmp_path / "plain", 12)
    assert names(plain, "val") == [0, 10]
    assert names(plain, "train") == [1, 2, 3, 4, 5, 6, 7, 8, 9, 11]
    split = write(tmp_path / "split", 4, splits={"train": "0:3", "val": "3:4"})
    assert (names(split, "train"), names(split, "val")) == ([0, 1, 2], [3])


def test_earlier_names_of_the_cameras_are_known(tmp_path: Path):
    root = write_v21(tmp_path, 2)
    old = [
        f"observation.images.{name}" for name in ("exterior_image_1_left", "exterior_image_2_left", "wrist_image_left")
    ]
    for key, name in zip(VIEWS, old, strict=True):
        (root / "videos/chunk-000" / key).rename(root / "videos/chunk-000" / name)
    edit_info(root, features={key: {"dtype": "video"} for key in old})
    assert len(Dataset(root, "train", progress=False)) == 11


def test_broken_episodes_are_skipped_with_a_reason(tmp_path: Path):
    root = write_v21(tmp_path, 11)
    video = "videos/chunk-000/{}/episode_{:06d}.mp4".format
    table = "data/chunk-000/episode_{:06d}.parquet".format
    (root / video(VIEWS[1], 1)).unlink()
    (root / video(VIEWS[2], 2)).write_bytes((root / video(VIEWS[2], 2)).read_bytes()[:400])
    write_video(root / video(VIEWS[0], 3), [100] * (STEPS - 6))
    (root / table(4)).write_bytes(b"PAR1")
    (root / table(5)).unlink()
    steps = steps_of(6)
    steps["observation.state.cartesian_position"][7][0] = float("nan")
    parquet.write_table(pa.table(steps), root / table(6))
    steps = steps_of(7)
    del steps["observation.state.gripper_position"]
    parquet.write_table(pa.table(steps), root / table(7))
    steps = steps_of(8)
    parquet.write_table(pa.table({name: values[:4] for name, values in steps.items()}), root / table(8))
    for key in VIEWS:
        write_video(root / video(key, 8), [100] * 4)
    parquet.write_table(pa.table({name: values[:0] for name, values in steps_of(9).items()}), root / table(9))

    data = Dataset(root, "val", progress=False)
    assert data.summary() == "val: 2 episodes used, 0 skipped"
    edit_info(root, splits={"train": "0:10", "val": "10:11"})
    data = Dataset(root, "train", progress=False)
    assert {int(name[-6:]): reason.split(":")[0] for name, reason in data.skipped.items()} == {
        1: "video missing",
        2: "video damaged",
        3: "lengths differ",
        4: "annotation unreadable",
        5: "annotation unreadable",
        6: "states unusable",
        7: "annotation incomplete",
        8: "too short",
        9: "states unusable",
    }
    assert data.summary().startswith("train: 1 episode used, 9 skipped: 2 ")
    assert "lacks observation.state.gripper_position" in data.skipped["episode_000007"]


def test_shared_videos_that_end_early_cost_only_the_episodes_behind(tmp_path: Path):
    root = write_v30(tmp_path, 4)
    levels = [grey(episode, 0, step) for episode in range(4) for step in range(STEPS)]
    write_video(root / f"videos/{VIEWS[0]}/chunk-000/file-000.mp4", levels[: 2 * STEPS + 9])
    data = Dataset(root, "train", progress=False)
    assert data.summary() == "train: 1 episode used, 2 skipped: 1 lengths differ, 1 video damaged"


def test_new_episodes_are_appended_to_the_cache(tmp_path: Path):
    root = write_v21(tmp_path, 3)
    before = np.array(Dataset(root, "train", progress=False).frames)
    line = json.dumps({"episode_index": 3, "tasks": [], "length": STEPS})
    write_v21(tmp_path / "more", 4)
    for path in (tmp_path / "more").rglob("episode_000003.*"):
        path.rename(root / path.relative_to(tmp_path / "more"))
    with open(root / "meta/episodes.jsonl", "a") as listing:
        listing.write(line + "\n")
    grown = Dataset(root, "train", progress=False)
    assert np.array_equal(grown.frames[: len(before)], before)
    assert len(grown) == len(before) + 11


def test_what_cannot_be_read_says_so(tmp_path: Path):
    root = write_v21(tmp_path, 1)
    for values, message in (
        ({"codebase_version": "v1.6"}, "v2.0, v2.1 and v3.0"),
        ({"fps": 12}, "12 Hz"),
        ({"features": {}}, "no video named observation.images.exterior_1_left"),
        ({"splits": {"val": "0-1"}}, "no usable split"),
        ({"data_path": "data/{file}.parquet"}, "does not say where"),
    ):
        before = (root / "meta/info.json").read_text()
        edit_info(root, **values)
        with pytest.raises(DatasetError, match=message):
            Dataset(root, "val", progress=False)
        (root / "meta/info.json").write_text(before)
    (root / "meta/episodes.jsonl").write_text('{"episode_index": 0}\n{"epis')
    with pytest.raises(DatasetError, match="list of episodes is damaged"):
        Dataset(root, "val", progress=False)
    (root / "meta/info.json").write_text("{")
    with pytest.raises(DatasetError, match="not the description of a LeRobot dataset"):
        Dataset(root, "val", progress=False)
