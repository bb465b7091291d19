from __future__ import annotations

import numpy as np
import pytest

from robot_model.franka import PANDA
from sim_cell.cell import HOME_JOINTS
from sim_cell.errors import InvalidTrajectoryError
from sim_cell.trajectory import Follower, parse_trajectory

NOW = 10.0


def parse(positions, offsets, velocities=None, accelerations=None, names=PANDA.joint_names, stamp=0.0):
    empty = [[] for _ in positions]
    return parse_trajectory(PANDA, names, offsets, [positions, velocities or empty, accelerations or empty], stamp, NOW)


def rows(*offsets: float) -> list[list[float]]:
    return [list(HOME_JOINTS + offset) for offset in offsets]


def zeros(count: int) -> list[list[float]]:
    return [[0.0] * 7 for _ in range(count)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": rows(0), "offsets": [1.0], "names": [f"fr3_joint{k}" for k in range(1, 8)]}, "joint names"),
        ({"positions": rows(0), "offsets": [1.0], "names": PANDA.joint_names[:6]}, "joint names"),
        ({"positions": [], "offsets": []}, "no points"),
        ({"positions": [[]], "offsets": [1.0]}, "no positions"),
        ({"positions": [[0.0] * 6], "offsets": [1.0]}, "7 positions"),
        ({"positions": rows(0, 0), "offsets": [1.0, 2.0], "velocities": [[0.0] * 7, []]}, "7 velocities"),
        ({"positions": rows(0), "offsets": [1.0], "accelerations": zeros(1)}, "no velocities"),
        ({"positions": rows(np.nan), "offsets": [1.0]}, "finite"),
        ({"positions": rows(0, 0), "offsets": [1.0, 1.0]}, "increase"),
        ({"positions": rows(0), "offsets": [-1.0]}, "negative"),
        ({"positions": rows(9.0), "offsets": [1.0]}, "limits"),
        ({"positions": rows(0), "offsets": [1.0], "stamp": NOW - 1.5}, "ended 0.500 s ago"),
        ({"positions": rows(0), "offsets": [1.0], "velocities": [[0.1] * 7]}, "zero velocity"),
    ],
)
def test_what_cannot_be_executed_is_refused(arguments, message):
    with pytest.raises(InvalidTrajectoryError, match=message):
        parse(**arguments)


def test_joints_may_come_in_any_order():
    order = [3, 1, 0, 2, 6, 5, 4]
    trajectory = parse([list(HOME_JOINTS[order])], [1.0], names=[PANDA.joint_names[k] for k in order])
    np.testing.assert_array_equal(trajectory.derivatives[0, 0], HOME_JOINTS)
    np.testing.assert_array_equal(trajectory.times, [NOW + 1.0])


def test_positions_alone_are_joined_by_straight_lines():
    follower = Follower(HOME_JOINTS)
    follower.follow(parse(rows(0.2, 0.0), [1.0, 2.0]), NOW)
    for time, offset in ((0.0, 0.0), (0.5, 0.1), (1.0, 0.2), (1.5, 0.1), (2.0, 0.0), (9.0, 0.0)):
        np.testing.assert_allclose(follower.desired(NOW + time)[0], HOME_JOINTS + offset, atol=1e-12)
    np.testing.assert_allclose(follower.desired(NOW + 1.5)[1], -0.2)


def test_points_with_velocities_are_joined_by_hermite_cubics():
    follower = Follower(HOME_JOINTS)
    follower.follow(parse(rows(0.2), [1.0], velocities=zeros(1)), NOW)
    for s in (0.0, 0.25, 0.6, 1.0):
        joints, velocities = follower.desired(NOW + s)
        np.testing.assert_allclose(joints, HOME_JOINTS + 0.2 * (3 * s**2 - 2 * s**3), atol=1e-12)
        np.testing.assert_allclose(velocities, 0.2 * (6 * s - 6 * s**2), atol=1e-12)


def test_accelerations_are_met_too():
    follower = Follower(HOME_JOINTS)
    follower.follow(parse(rows(0.2), [1.0], velocities=zeros(1), accelerations=zeros(1)), NOW)
    s = 0.3
    quintic = 10 * s**3 - 15 * s**4 + 6 * s**5
    np.testing.assert_allclose(follower.desired(NOW + s)[0], HOME_JOINTS + 0.2 * quintic, atol=1e-12)


def test_a_new_trajectory_starts_from_the_state_desired_at_that_moment():
    follower = Follower(HOME_JOINTS)
    follower.follow(parse(rows(0.3), [1.0], velocities=zeros(1)), NOW)
    before = follower.desired(NOW + 0.5)
    replacing = parse_trajectory(PANDA, PANDA.joint_names, [0.5], [rows(0.0), zeros(1), [[]]], 0.0, NOW + 0.5)
    follower.follow(replacing, NOW + 0.5)
    after = follower.desired(NOW + 0.5)
    np.testing.assert_allclose(after, before, atol=1e-9)
    assert after[1][0] > 0.4  # it was moving, so it brakes instead of stopping dead
    np.testing.assert_allclose(follower.desired(NOW + 1.0)[0], HOME_JOINTS)


def test_a_stamped_trajectory_waits_for_its_time_and_may_be_joined_late():
    follower = Follower(HOME_JOINTS)
    follower.follow(parse(rows(0.0, 0.2), [0.0, 1.0], stamp=NOW + 1), NOW)
    np.testing.assert_allclose(follower.desired(NOW + 0.9)[0], HOME_JOINTS, atol=1e-12)
    np.testing.assert_allclose(follower.desired(NOW + 1.5)[0], HOME_JOINTS + 0.1, atol=1e-12)
    follower.follow(parse(rows(0.0, 0.2), [0.0, 1.0], stamp=NOW - 0.5), NOW)
    np.testing.assert_allclose(follower.desired(NOW)[0], HOME_JOINTS + 0.1, atol=1e-12)


def test_a_lone_point_due_now_is_held():
    follower = Follower(HOME_JOINTS)
    follower.follow(parse(rows(0.01), [0.0]), NOW)
    np.testing.assert_allclose(follower.desired(NOW)[0], HOME_JOINTS + 0.01)
