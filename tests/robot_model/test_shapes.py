"""The capsules and boxes hold the simulated arm's meshes: measured on every vertex and the middle of every face."""

from __future__ import annotations

import numpy as np
import pytest

from robot_model.conventions import PINCH_OFFSET
from robot_model.errors import RobotModelError
from robot_model.shapes import ARM_SHAPES, GRIPPER_SHAPES, Box, Capsule, outside, robot_shapes

mujoco = pytest.importorskip("mujoco", reason="MuJoCo is not installed")
assets = pytest.importorskip("sim_cell.assets")

CAMERA = "wrist camera"


@pytest.fixture(scope="module")
def arm():
    try:
        path = assets.panda_xml()
    except Exception as error:
        pytest.skip(f"the simulated arm's meshes are not installed: {error}")
    model = mujoco.MjSpec.from_file(str(path)).compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def surface(model, data, body: str, frame: str) -> np.ndarray:
    """Vertices and middles of the faces of a body's visual meshes, and its boxes' corners, in another body's frame."""
    found = []
    for geom in np.flatnonzero(model.geom_bodyid == model.body(body).id):
        if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
            mesh = model.geom_dataid[geom]
            vertices = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
            faces = model.mesh_face[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
            visual = model.geom_contype[geom] == 0  # the coarse hulls' large faces bridge hollows of the real surface
            points = np.concatenate([vertices, vertices[faces].mean(axis=1)]) if visual else vertices
        else:
            points = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8).T * model.geom_size[geom]
        found.append(points @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom])
    frame_at = data.body(frame)
    return (np.concatenate(found) - frame_at.xpos) @ frame_at.xmat.reshape(3, 3)


@pytest.mark.parametrize("link", [f"link{index}" for index in range(8)])
def test_every_point_of_the_arm_lies_inside_its_shapes(arm, link):
    points = surface(*arm, link, link)
    depth = -np.min([outside(shape, points) for shape in ARM_SHAPES if shape.link == link], axis=0)
    assert depth.min() > 0.001, "at least a millimetre to spare"


def test_every_point_of_the_gripper_lies_inside_its_shapes_at_every_opening(arm):
    model, data = arm
    rigid = np.eye(4)
    rigid[:3, :3] = PINCH_OFFSET[:3, :3]
    rigid[2, 3] = 0.0038  # of the gripper's base above the flange
    bodies = [model.body(index).name for index in range(model.nbody)]
    hand = [name for name in bodies if name.startswith(("left_", "right_", "base"))]
    shapes = [shape for shape in GRIPPER_SHAPES["robotiq"] if shape.body != CAMERA]
    for control in np.linspace(0.0, 255.0, 5):
        mujoco.mj_resetData(model, data)
        data.ctrl[model.actuator("fingers_actuator").id] = control
        for _ in range(600):
            data.qpos[:7] = data.qvel[:7] = 0.0
            mujoco.mj_step(model, data)
        mujoco.mj_forward(model, data)
        points = np.concatenate([surface(model, data, name, "base") for name in hand])
        points = points @ rigid[:3, :3].T + rigid[:3, 3]
        depth = -np.min([outside(shape, points) for shape in shapes], axis=0)
        assert depth.min() > 0.0005, f"at control {control:.0f}"


def test_distances_to_shapes():
    capsule = Capsule("a", "link1", (0.0, 0.0, 0.0), (0.0, 0.0, 0.2), 0.05)
    points = np.array([[0.0, 0.0, 0.1], [0.1, 0.0, 0.1], [0.0, 0.0, 0.3]])
    assert outside(capsule, points) == pytest.approx([-0.05, 0.05, 0.05])
    box = Box("b", "link1", (0.1, 0.0, 0.0), (0.1, 0.2, 0.2), np.pi / 2)  # its x is the link's y
    points = np.array([[0.0, 0.1, 0.0], [0.0, 0.2, 0.0], [0.2, 0.1, 0.0]])
    assert outside(box, points) == pytest.approx([-0.05, 0.05, 0.10])


def test_an_unknown_gripper_is_refused_with_the_list():
    with pytest.raises(RobotModelError, match="robotiq, franka_hand"):
        robot_shapes("suction cup")
