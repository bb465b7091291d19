from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from robot_model.conventions import PINCH_OFFSET
from robot_model.franka import PANDA
from robot_model.kinematics import ArmKinematics
from sim_cell.assets import INSTALL_COMMAND, panda_xml
from sim_cell.behaviours import grasp_yaw
from sim_cell.cameras import flange_transform
from sim_cell.cell import BOWL_GAP, HOME_JOINTS, OBJECT_GAP, draw_layout
from sim_cell.errors import MissingAssetsError, SimCellError
from sim_cell.meshes import cluster_vertices
from sim_cell.objects import BOWL, CLASSES, NAMES
from sim_cell.scene import PHYSICS_RATE


def test_missing_meshes_are_named_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingAssetsError, match="pip install --no-deps --require-hashes") as caught:
        panda_xml()
    assert INSTALL_COMMAND in str(caught.value)


def test_same_seed_same_scene_and_picture(cell):
    pictures = []
    for seed in (4, 5, 4):
        cell.reset(seed)
        pictures.append(np.stack([view.image for view in cell.render().values()]))
    np.testing.assert_array_equal(pictures[0], pictures[2])
    assert (pictures[0] != pictures[1]).any(-1).mean() > 0.01


def test_only_the_chosen_objects_are_on_the_table(cell):
    seen_subsets = set()
    for seed in range(4):
        cell.reset(seed, "pea")
        assert "pea" in cell.visible
        assert 3 <= len(cell.visible) <= 5
        seen = {CLASSES[k] for view in cell.render().values() for k in np.unique(view.classes)}
        assert seen <= {*cell.visible, BOWL, "robot", "background"}
        assert {BOWL, "background"} <= seen
        for name in cell.visible:
            assert abs(cell.position(name)[2] - 0.023) < 0.015, f"{name} does not lie on the table"
        seen_subsets.add(cell.visible)
    assert len(seen_subsets) > 1


def test_parked_objects_stay_parked(cell):
    cell.reset(0)
    parked = next(name for name in NAMES if name not in cell.visible)
    before = cell.position(parked)
    cell.step(240)
    np.testing.assert_allclose(cell.position(parked), before, atol=1e-6)


def test_unknown_target_is_refused(cell):
    with pytest.raises(SimCellError, match=r"banana.*carrot"):
        cell.reset(0, "banana")


def test_layout_keeps_its_gaps():
    rng = np.random.default_rng(0)
    for _ in range(20):
        spots = draw_layout(rng, 5)
        gaps = np.linalg.norm(spots[:, None] - spots[None], axis=-1) + 10 * np.eye(6)
        assert gaps[0].min() > BOWL_GAP
        assert gaps.min() > OBJECT_GAP


def test_the_simulated_arm_is_the_modelled_arm(cell):
    cell.reset(1)
    rng = np.random.default_rng(0)
    kinematics = ArmKinematics(PANDA)
    for _ in range(5):
        cell.move_arm_to(HOME_JOINTS + rng.normal(0, 0.2, 7))
        flange = kinematics.forward(cell.joints())
        np.testing.assert_allclose(flange, flange_transform(cell.data), atol=1e-6)
        np.testing.assert_allclose((flange @ PINCH_OFFSET)[:3, 3], cell.pinch(), atol=1e-4)


@pytest.mark.parametrize("camera", ["left", "right", "wrist"])
def test_calibration_projects_objects_onto_their_own_pixels(cell, camera):
    hits = []
    for seed in range(4):
        cell.reset(seed)
        view, calibration = cell.render()[camera], cell.calibrations()[camera]
        pose = calibration.pose
        if calibration.parent == "flange":
            pose = ArmKinematics(PANDA).forward(cell.joints()) @ pose
        for name in cell.visible:
            x, y, z = (np.linalg.inv(pose) @ [*cell.position(name), 1.0])[:3]
            column, row = np.floor((calibration.K @ [x / z, y / z, 1.0])[:2]).astype(int)
            if z > 0 and 3 <= column < 77 and 3 <= row < 45:
                hits.append(CLASSES[view.classes[row, column]] == name)
    assert len(hits) >= 4
    assert np.mean(hits) > 0.75  # the rest is hidden behind something nearer


def test_the_arm_holds_still_and_follows_its_command(cell):
    cell.reset(2)
    target = HOME_JOINTS + 0.1
    cell.command(target, np.zeros(7), gripper=1.0)
    cell.step(480 * 2)
    np.testing.assert_allclose(cell.joints(), target, atol=2e-3)
    assert cell.gripper() > 0.95
    assert np.abs(cell.joint_velocities()).max() < 1e-3


def test_physics_that_diverges_are_taken_back(cell):
    cell.reset(3, "pea")
    joints, pea, time = cell.joints(), cell.position("pea"), cell.data.time
    body = cell.model.body("pea").id
    cell.data.xfrc_applied[body, 2] = 1e15
    cell.step(8)
    cell.data.xfrc_applied[body, 2] = 0.0
    np.testing.assert_array_equal(cell.joints(), joints)
    np.testing.assert_allclose(cell.position("pea"), pea, atol=1e-9)
    assert not cell.data.qvel.any()
    assert cell.data.time == pytest.approx(time + 8 / PHYSICS_RATE)
    cell.step(240)
    np.testing.assert_allclose(cell.joints(), joints, atol=0.01)
    np.testing.assert_allclose(cell.position("pea"), pea, atol=0.01)


def test_clustering_keeps_the_shape():
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41), indexing="ij"), -1).reshape(-1, 2)
    vertices = np.column_stack([grid, np.zeros(len(grid))])
    corner = (np.arange(40)[:, None] * 41 + np.arange(40)).ravel()
    faces = np.concatenate([np.c_[corner, corner + 1, corner + 41], np.c_[corner + 1, corner + 42, corner + 41]])
    light, triangles = cluster_vertices(vertices, faces, 0.25)
    assert len(triangles) < len(faces) / 20
    a, b, c = light[triangles].transpose(1, 0, 2)
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()
    assert 0.5 < area < 1.0  # the rim moves in by half a cell
    assert triangles.max() < len(light)


def test_grasps_go_across_the_long_side_the_near_way():
    axes = np.eye(3)
    assert grasp_yaw(axes, 2, present=0.3) == pytest.approx(0.0)
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    assert abs(grasp_yaw(quarter, 2, present=0.3)) == pytest.approx(np.pi / 2)
    assert grasp_yaw(quarter, 4, present=0.3) == pytest.approx(0.0, abs=1e-9)
    assert grasp_yaw(axes, 0, present=0.3) == 0.3
