"""When the next chunk is asked for, and how many frames are promised."""

from __future__ import annotations

import pytest
from cell_fakes import SPEC

from robot_bridge.planner.requests import Latency, committed_frames


def test_at_rest_nothing_is_promised():
    assert committed_frames(10.0, 9.9, 10.0, 0.3, SPEC) == 0
    assert committed_frames(10.0, 9.9, 9.0, 0.3, SPEC) == 0


@pytest.mark.parametrize(("latency", "frames"), [(0.05, 1), (0.2, 2), (0.35, 2), (0.4, 3), (0.5, 3)])
def test_a_quick_planner_takes_over_at_the_first_frame_it_can_reach(latency, frames):
    assert committed_frames(10.0, 9.95, 10.65, latency, SPEC) == frames
    assert 10.0 + latency <= 9.95 + frames * 0.2 <= 10.65


def test_a_slow_planner_begins_where_the_arm_will_wait():
    assert committed_frames(10.0, 9.95, 10.65, 2.0, SPEC) == 4  # the first frame at or after the path's end


def test_more_than_can_be_imagined_is_not_promised():
    assert committed_frames(10.0, 9.95, 11.6, 2.0, SPEC) is None


def test_the_expected_latency_is_the_slowest_of_the_last_few():
    latency = Latency(0.5)
    latency.add(0.2)
    assert latency.seconds == 0.5
    for seconds in (0.3, 0.25, 0.9, 0.2, 0.2):
        latency.add(seconds)
    assert latency.seconds == 0.9
    for _ in range(5):
        latency.add(0.2)
    assert latency.seconds == 0.2
