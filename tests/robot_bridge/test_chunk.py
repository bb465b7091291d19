"""The path through the waypoints: through each, smooth between, no trouble at the roll wrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from robot_bridge.execution.chunk import PoseCurve
from robot_model.conventions import pose_distance

START = np.array([0.4, 0.0, 0.4, np.pi - 0.02, 0.0, 0.0, 0.0])


def wandering(seed: int, count: int = 6) -> PoseCurve:
    random = np.random.default_rng(seed)
    steps = random.normal(0, 1, (count - 1, 7)) * [0.03, 0.03, 0.03, 0.1, 0.1, 0.1, 0.0]
    return PoseCurve(10.0 + 0.2 * np.arange(count), np.concatenate([START[None], START + np.cumsum(steps, axis=0)]))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_goes_through_every_waypoint_and_is_smooth(seed):
    curve = wandering(seed)
    for time, pose in zip(curve.times, curve.poses, strict=True):
        metres, radians = pose_distance(curve.pose(time), pose)
        assert metres < 1e-12
        assert radians < 1e-7
    dt = 2e-3
    times = np.arange(10.0, 11.0, dt)
    poses = curve.sample(times)
    velocity = np.diff(poses[:, :3], axis=0) / dt
    rotations = Rotation.from_euler("xyz", poses[:, 3:6])
    rate = (rotations[:-1].inv() * rotations[1:]).as_rotvec() / dt
    # A step in speed would show as its full height from one sample to the next.
    assert np.abs(np.diff(velocity, axis=0)).max() < 0.05
    assert np.abs(np.diff(rate, axis=0)).max() < 0.2
    assert np.abs(velocity[[0, -1]]).max() < 0.03, "begins and ends at rest"


def test_from_rest_to_rest_it_is_minimum_jerk_with_slerp():
    end = START + [0.1, 0, 0, 0.4, 0, 0, 1.0]  # turns across the wrap of the roll
    curve = PoseCurve([0.0, 1.0], np.array([START, end]))
    s = np.linspace(0, 1, 201)
    expected = 10 * s**3 - 15 * s**4 + 6 * s**5
    poses = curve.sample(s)
    assert (poses[:, 0] - 0.4) / 0.1 == pytest.approx(expected, abs=1e-9)
    assert pose_distance(poses, START)[1] / 0.4 == pytest.approx(expected, abs=1e-6)
    assert np.diff(poses[:, 0]).max() * 200 / 0.1 == pytest.approx(1.875, rel=1e-3), "peak speed of minimum jerk"
    assert poses[:, 6] == pytest.approx(s)


def test_is_held_before_and_after():
    curve = wandering(0)
    assert (curve.pose(0.0) == curve.poses[0]).all()
    assert (curve.pose(99.0) == curve.poses[-1]).all()


def test_continuing_keeps_the_past_and_drops_what_the_new_chunk_replaces():
    curve = wandering(1)
    times = 10.6 + 0.2 * np.arange(1, 6)
    poses = curve.pose(10.6) + np.arange(1, 6)[:, None] * np.array([0.02, 0, 0, 0, 0, 0, 0])
    joined = curve.continued(10.6, curve.pose(10.6), times, poses)
    assert joined.times == pytest.approx([10.0, 10.2, 10.4, 10.6, 10.8, 11.0, 11.2, 11.4, 11.6])
    assert joined.pose(10.3) == pytest.approx(curve.pose(10.3), abs=1e-9)
    assert joined.pose(11.6) == pytest.approx(poses[-1])
    before, after = joined.pose(10.599), joined.pose(10.601)
    assert np.linalg.norm(after[:3] - before[:3]) > 1e-6, "no stop where the chunks meet"
    shortened = joined.since(10.7)
    assert shortened.start == pytest.approx(10.4)
    assert shortened.pose(11.0) == pytest.approx(joined.pose(11.0), abs=1e-9)


@pytest.mark.parametrize(
    ("times", "shape"), [([0.0, 0.0], (2, 7)), ([1.0, 0.5], (2, 7)), ([0.0], (2, 7)), ([], (0, 7))]
)
def test_impossible_waypoints_are_refused(times, shape):
    with pytest.raises(ValueError, match="times"):
        PoseCurve(np.array(times), np.zeros(shape))
