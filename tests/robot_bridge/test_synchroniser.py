"""Three cameras and the joints come together by stamp, whatever the order of arrival."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from robot_bridge.guard.reasons import Reason
from robot_bridge.sensing.synchroniser import RESTART_AFTER, JointSample, Synchroniser

CAMERAS = ("left", "right", "wrist")
IMAGE = np.zeros((2, 2, 3), np.uint8)


def joints(stamp: float) -> JointSample:
    return JointSample(stamp, np.full(7, stamp), np.zeros(7), 0.0)


def feed(sync: Synchroniser, stamp: float, offsets=(0.0, 0.0, 0.0), joint_offset: float = 0.0):
    for name, offset in zip(CAMERAS, offsets, strict=True):
        assert sync.add_image(name, stamp + offset, IMAGE) is None
    assert sync.add_joints(joints(stamp + joint_offset)) is None


@pytest.fixture
def sync() -> Synchroniser:
    return Synchroniser(CAMERAS, 0.05)


def test_equal_stamps_make_a_set_once(sync):
    feed(sync, 1.0)
    found = sync.take()
    assert found is not None
    assert (found.stamp, found.skew, found.joints.stamp) == (1.0, 0.0, 1.0)
    assert sync.take() is None


def test_waits_for_the_nearest_sample_of_a_late_stream(sync):
    sync.add_image("right", 0.96, IMAGE)
    sync.add_image("wrist", 1.0, IMAGE)
    sync.add_joints(joints(1.0))
    sync.add_image("left", 1.0, IMAGE)
    assert sync.take() is None, "right's frame of 0.96 is near enough, but a nearer one may be on its way"
    sync.add_image("right", 1.02, IMAGE)
    found = sync.take()
    assert found is not None
    assert found.image_stamps["right"] == 1.02
    assert found.skew == pytest.approx(0.02)


def test_takes_the_earlier_sample_when_the_others_have_moved_on(sync):
    feed(sync, 1.0, offsets=(0.0, -0.04, 0.0))
    assert sync.take() is None
    for name in ("left", "wrist"):
        sync.add_image(name, 1.2, IMAGE)
    sync.add_joints(joints(1.2))
    found = sync.take()
    assert found is not None
    assert found.stamp == 1.0
    assert found.image_stamps["right"] == 0.96


def test_stamps_too_far_apart_never_match(sync):
    for k in range(10):
        feed(sync, 1.0 + k, offsets=(0.0, 0.3, 0.0))
        assert sync.take() is None


def test_arrival_order_does_not_matter():
    arrivals = [(stamp, name) for stamp in np.arange(1.0, 3.0, 0.2) for name in (*CAMERAS, "joints")]
    shuffled = random.Random(0)
    for _ in range(20):
        sync, seen = Synchroniser(CAMERAS, 0.05), []
        # Messages are overtaken by up to two frames.
        for stamp, name in sorted(arrivals, key=lambda item: item[0] + shuffled.uniform(0, 0.4)):
            refused = sync.add_joints(joints(stamp)) if name == "joints" else sync.add_image(name, stamp, IMAGE)
            assert refused is None
            if found := sync.take():
                seen.append(found.stamp)
                assert found.skew == 0.0
        assert seen == sorted(seen), "time never runs backwards"
        assert seen[-1] == pytest.approx(2.8)


@pytest.mark.parametrize(
    ("stamp", "reason"),
    [
        (5.0, Reason.DUPLICATE_STAMP),
        (1.0, Reason.OUT_OF_ORDER),
        (0.0, Reason.NO_STAMP),
        (-1.0, Reason.NO_STAMP),
        (math.nan, Reason.NO_STAMP),
        (math.inf, Reason.NO_STAMP),
        (4.9, None),
    ],
)
def test_bad_stamps_are_refused_with_their_reason(sync, stamp, reason):
    sync.add_image("left", 5.0, IMAGE)
    assert sync.add_image("left", stamp, IMAGE) is reason


def test_a_clock_set_back_starts_over(sync):
    for k in range(20):
        feed(sync, 50.0 + 0.2 * k)
        sync.take()
    refused = 0
    for k in range(20):
        stamp = 1.0 + 0.2 * k
        refused += sync.add_joints(joints(stamp)) is Reason.OUT_OF_ORDER
        refused += sum(sync.add_image(name, stamp, IMAGE) is Reason.OUT_OF_ORDER for name in CAMERAS)
        found = sync.take()
    assert refused == 4 * (RESTART_AFTER - 1)
    assert found is not None
    assert found.stamp == pytest.approx(4.8)


def test_memory_stays_bounded(sync):
    for k in range(500):
        sync.add_image("left", 1.0 + k / 30, IMAGE)  # the other cameras are silent
        sync.add_joints(joints(1.0 + k / 30))
        sync.take()
    assert len(sync.images["left"].stamps) < 60
    assert len(sync.joints.stamps) < 60
    assert sync.camera_ages(20.0)["right"] == math.inf
