"""The history: frames on the video grid, in the planner's size, with gaps noticed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cell_fakes import SPEC

from plan_protocol.messages import CameraSpec
from robot_bridge.errors import HistoryError
from robot_bridge.sensing.history import History, resize
from robot_bridge.sensing.synchroniser import JointSample, SensorSet


def look(stamp: float, value: int = 0, skew: float = 0.0) -> SensorSet:
    names = ("left", "right", "wrist")
    return SensorSet(
        stamp=stamp,
        images={name: np.full((24, 40, 3), value + index, np.uint8) for index, name in enumerate(names)},
        image_stamps=dict.fromkeys(names, stamp) | {"wrist": stamp + skew},
        joints=JointSample(stamp, np.full(7, stamp), np.zeros(7), 0.0),
    )


def pose(stamp: float) -> np.ndarray:
    return np.full(7, stamp)


def test_offsets_are_taken_from_the_newest_frame():
    history = History(replace(SPEC, history_offsets=(-3, -1, 0)))
    for k in range(40):  # 15 Hz
        history.add(look(1.0 + k / 15, k), pose(1.0 + k / 15))
    observation = history.observation()
    newest = 1.0 + 39 / 15
    assert observation.stamps == pytest.approx([newest - 0.6, newest - 0.2, newest])
    assert observation.images.shape == (3, 3, 12, 20, 3)
    assert observation.images[:, :, 0, 0, 0].tolist() == [[30, 31, 32], [36, 37, 38], [39, 40, 41]]
    assert observation.poses[:, 0] == pytest.approx(observation.stamps)
    assert observation.joints[0] == pytest.approx(newest)


def test_long_histories_of_fast_cameras_fit_in_the_ring():
    history = History(replace(SPEC, history_offsets=(-12, -9, -6, -3, 0)))
    for k in range(300):
        history.add(look(1.0 + k / 60), pose(0.0))
    stamps = history.observation().stamps
    assert np.diff(stamps) == pytest.approx(np.full(4, 0.6), abs=0.1)


def test_before_the_first_frame_the_cell_is_as_it_was_then():
    history = History(replace(SPEC, history_offsets=(-6, -3, 0)))
    history.add(look(5.0, 7), pose(5.0))
    observation = history.observation()
    assert observation.stamps == pytest.approx([3.8, 4.4, 5.0])
    assert (observation.images[:, 0] == 7).all()


def test_an_interrupted_camera_is_a_gap():
    history = History(SPEC)
    history.add(look(5.0), pose(5.0))
    history.add(look(7.0), pose(7.0))
    with pytest.raises(HistoryError, match="no frame within") as caught:
        history.observation()
    assert caught.value.reason == "history_gap"
    history.add(look(7.2), pose(7.2))
    assert history.observation().stamps == pytest.approx([7.0, 7.2])


def test_empty_and_restarted():
    history = History(SPEC)
    with pytest.raises(HistoryError) as caught:
        history.observation()
    assert caught.value.reason == "history_short"
    history.add(look(50.0), pose(50.0))
    history.add(look(1.0), pose(1.0))
    assert history.observation().stamps[-1] == 1.0


def test_resizing_averages_so_that_small_things_survive():
    image = np.zeros((48, 80, 3), np.uint8)
    image[21, 33] = 255
    small = resize(image, CameraSpec("left", 12, 20))
    assert small.shape == (12, 20, 3)
    assert small.max() == pytest.approx(255 / 16, abs=1)
