"""The MuJoCo model of the cell: arm and gripper from the assets, a table, every object and the cameras."""

from __future__ import annotations

import mujoco
import numpy as np

from sim_cell.assets import panda_xml
from sim_cell.cameras import add_cameras
from sim_cell.meshes import lighten_visuals
from sim_cell.objects import BOWL, OBJECTS, STRANGERS, add_bowl

PHYSICS_RATE = 480  # Hz
ARM_JOINTS = tuple(f"joint{k}" for k in range(1, 8))
ARM_ACTUATORS = tuple(f"arm{k}" for k in range(1, 8))
GRIPPER_ACTUATOR = "fingers_actuator"
GRIPPER_CONTROL_RANGE = 255.0
KNUCKLE = "right_driver_joint"

# Position servos in place of the assets' torque motors: stiff and well damped, with the arm's own torque limits.
STIFFNESS = np.array([4500.0, 4500, 3500, 3500, 2000, 2000, 2000])
DAMPING = STIFFNESS / 10
TORQUE_LIMIT = np.array([87.0] * 4 + [12.0] * 3)

MESH_CELLS = 8  # of the clustering grid, along the longest side of each merged visual mesh
PAD_FRICTION = [1.2, 0.02, 0.0005]

TABLE_COLOUR = [0.60, 0.48, 0.36, 1]
FLOOR_COLOUR = [0.45, 0.46, 0.48, 1]


def build_model() -> mujoco.MjModel:
    """Compile the cell. Base frame = world frame = link0; the table's top is z = 0.

    Raises:
        MissingAssetsError: The robot's meshes are not installed.
    """
    spec = mujoco.MjSpec.from_file(str(panda_xml()))
    _set_solver(spec)
    lighten_visuals(spec, MESH_CELLS)
    _replace_motors(spec)
    for body in spec.bodies:
        if body.name != "world":
            body.gravcomp = 1  # as the real arm's controller does
    for name in ("left_pad1", "left_pad2", "right_pad1", "right_pad2"):
        pad = spec.geom(name)
        pad.friction, pad.condim = PAD_FRICTION, 4
    _add_furniture(spec)
    add_cameras(spec)
    for kind in (*OBJECTS, *STRANGERS):
        body = spec.worldbody.add_body(name=kind.name, pos=[0.5, 0, kind.height])
        body.add_freejoint(name=kind.name)
        kind.add_geoms(body)
    bowl = spec.worldbody.add_body(name=BOWL, pos=[0.5, 0, 0])
    bowl.add_freejoint(name=BOWL)
    add_bowl(bowl)
    return spec.compile()


def _set_solver(spec: mujoco.MjSpec) -> None:
    option = spec.option
    option.timestep = 1 / PHYSICS_RATE
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC  # with impratio: friction that holds a grasped object
    option.impratio = 10
    option.noslip_iterations = 3
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # what diverges is taken back, not reset: `Cell.step`


def _replace_motors(spec: mujoco.MjSpec) -> None:
    for k in range(1, 8):
        spec.delete(spec.actuator(f"actuator{k}"))
    for k, (name, joint) in enumerate(zip(ARM_ACTUATORS, ARM_JOINTS, strict=True)):
        servo = spec.add_actuator(name=name, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        servo.gaintype, servo.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
        servo.gainprm[0] = STIFFNESS[k]
        servo.biasprm[:3] = [0, -STIFFNESS[k], -DAMPING[k]]
        servo.forcerange = [-TORQUE_LIMIT[k], TORQUE_LIMIT[k]]


def _add_furniture(spec: mujoco.MjSpec) -> None:
    world, box = spec.worldbody, mujoco.mjtGeom.mjGEOM_BOX
    # The floor is a slab, not a plane: what is parked for an episode floats below it.
    world.add_geom(name="floor", type=box, size=[4, 4, 0.05], pos=[0, 0, -0.8], rgba=FLOOR_COLOUR)
    top = {"size": [0.5, 0.65, 0.02], "pos": [0.35, 0, -0.02]}
    world.add_geom(name="table", type=box, rgba=TABLE_COLOUR, friction=[0.8, 0.01, 0.001], **top)
    for x in (-0.1, 0.8):
        for y in (-0.6, 0.6):
            leg = {"size": [0.03, 0.03, 0.355], "pos": [x, y, -0.395]}
            world.add_geom(type=box, rgba=[0.3, 0.3, 0.32, 1], **leg)
    world.add_geom(name="wall", type=box, size=[0.02, 2, 1.2], pos=[1.6, 0, 0.4], rgba=[0.95, 0.95, 0.92, 1])
