"""Distances of the arm from itself and the scene, against MuJoCo's verdicts and plain geometry."""

from __future__ import annotations

import numpy as np
import pytest

from robot_model.collision import ArmCollision, Margins
from robot_model.conventions import DROID_RESET_JOINTS, PINCH_OFFSET, pose_to_matrix
from robot_model.errors import InvalidArrayError, RobotModelError
from robot_model.franka import FR3, PANDA
from robot_model.ik import InverseKinematics
from robot_model.kinematics import ArmKinematics
from robot_model.shapes import KeepOut, robot_shapes

KINEMATICS = ArmKinematics(PANDA)


def model(**settings) -> ArmCollision:
    return ArmCollision(KINEMATICS, robot_shapes(), **{"table_height": 0.0, **settings})


def hand_at(height: float) -> np.ndarray:
    """Joints with the pinch point at a height above the table, fingers straight down."""
    pinch = pose_to_matrix(np.array([0.5, 0.0, height, np.pi, 0.0, 0.0]))
    result = InverseKinematics(KINEMATICS).solve(pinch @ np.linalg.inv(PINCH_OFFSET), DROID_RESET_JOINTS)
    assert result.converged
    return result.q


def worst(collision: ArmCollision, q: np.ndarray) -> tuple[tuple[str, str], float]:
    excess = collision.excess(q)
    index = int(excess.argmin())
    return collision.pairs.bodies[index], float(excess[index])


def test_the_reset_posture_is_clear():
    assert model(margins=Margins(0.03, 0.03, 0.03)).clear(DROID_RESET_JOINTS)


def test_the_fingertips_reach_the_table_first_and_exactly():
    bodies, excess = worst(model(), hand_at(0.05))
    assert bodies == ("fingertips", "table")
    assert excess == pytest.approx(0.05 - (0.1675 - 0.1488), abs=1e-4)
    assert model(margins=Margins(tips=0.03)).clear(hand_at(0.05))
    assert not model(margins=Margins(tips=0.032)).clear(hand_at(0.05))


def test_the_table_may_be_lower():
    assert not model().clear(hand_at(0.01))
    assert model(table_height=-0.1).clear(hand_at(0.01))


def test_a_box_is_kept_free_and_named():
    box = KeepOut("monitor", (0.5, 0.0, 0.05), (0.1, 0.1, 0.1))
    assert worst(model(keep_out=[box]), hand_at(0.05))[0][1] == "monitor"
    assert model(keep_out=[KeepOut("far", (0.0, 0.9, 0.5), (0.1, 0.1, 0.1))]).clear(hand_at(0.05))


def test_a_folded_arm_touches_itself():
    q = np.array([0.0, -1.7, 0.0, -3.0, 0.0, 0.4, 0.8])
    collision = model(table_height=-2.0)
    bodies, excess = worst(collision, q)
    assert excess < 0
    assert bodies[1] in ("link0", "link1", "link2")
    assert not collision.clear(q)


def test_the_quick_answer_is_the_exact_one():
    collision = model(margins=Margins(0.01, 0.005, -0.005))
    random = np.random.default_rng(3)
    for q in random.uniform(PANDA.lower, PANDA.upper, (300, 7)):
        assert collision.clear(q) == (collision.excess(q).min() > 0)


def test_both_arms_have_the_same_shapes():
    other = ArmCollision(ArmKinematics(FR3), robot_shapes(), 0.0)
    assert other.excess(DROID_RESET_JOINTS) == pytest.approx(model().excess(DROID_RESET_JOINTS))


def test_what_mujoco_calls_a_contact_is_never_missed():
    mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed")
    assets = pytest.importorskip("sim_cell.assets")
    try:
        hulls = mujoco.MjSpec.from_file(str(assets.panda_xml())).compile()
    except Exception as error:
        pytest.skip(f"the simulated arm's meshes are not installed: {error}")
    data = mujoco.MjData(hulls)
    collision = model(table_height=-2.0)
    contacts = 0
    for q in np.random.default_rng(0).uniform(PANDA.lower, PANDA.upper, (1500, 7)):
        data.qpos[:] = 0.0
        data.qpos[:7] = q
        mujoco.mj_kinematics(hulls, data)
        mujoco.mj_collision(hulls, data)
        found = [c for c in data.contact[: data.ncon] if c.dist < 0]
        touching = {(_link(hulls, c.geom1), _link(hulls, c.geom2)) for c in found} - {("hand", "hand")}
        contacts += bool(touching)
        assert not (touching and collision.clear(q)), f"{touching} at {q}"
    assert contacts > 100


def _link(hulls, geom: int) -> str:
    name = hulls.body(hulls.geom_bodyid[geom]).name
    return name if name.startswith("link") else "hand"


@pytest.mark.parametrize("q", [np.zeros(6), np.full(7, np.nan)])
def test_joints_that_are_none_are_refused(q):
    with pytest.raises(InvalidArrayError):
        model().clear(q)


def test_a_box_without_volume_is_refused():
    with pytest.raises(RobotModelError, match="edge lengths"):
        model(keep_out=[KeepOut("flat", (0.0, 0.0, 0.0), (1.0, 1.0, 0.0))])
