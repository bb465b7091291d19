"""The cell itself: physics, a random layout of objects from a seed, commands in, measurements out. No ROS here."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from robot_model import gripper as gripper_model
from robot_model.conventions import DROID_RESET_JOINTS
from robot_model.ros_names import CAMERAS
from sim_cell.cameras import Calibration, calibrate
from sim_cell.errors import SimCellError
from sim_cell.look import Look
from sim_cell.objects import BOWL, NAMES, OBJECT, STRANGERS
from sim_cell.renderer import Renderer
from sim_cell.scene import (
    ARM_ACTUATORS,
    ARM_JOINTS,
    DAMPING,
    GRIPPER_ACTUATOR,
    GRIPPER_CONTROL_RANGE,
    KNUCKLE,
    PHYSICS_RATE,
    STIFFNESS,
    build_model,
)

HOME_JOINTS = DROID_RESET_JOINTS + np.array([0, 0, 0, 0, 0, 0, np.pi / 4])
"""DROID's reset posture, the last joint turned so that this gripper's fingers close along the base's y."""

LAYOUT_LOW, LAYOUT_HIGH = np.array([0.36, -0.23]), np.array([0.62, 0.23])  # metres, where objects may stand
OBJECT_GAP, BOWL_GAP = 0.10, 0.155  # metres between the origins of two objects / of an object and the bowl
VISIBLE_OBJECTS = (3, 5)  # how many objects beside the bowl, target included
PARKABLE = (*NAMES, *(kind.name for kind in STRANGERS))
PARKED = np.array([0.0, 0.0, -3.0])  # below the floor
SETTLE_STEPS = PHYSICS_RATE // 2
STATE = mujoco.mjtState.mjSTATE_INTEGRATION
DIVERGED = (mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQVEL, mujoco.mjtWarning.mjWARN_BADQACC)
"""Warnings after which the state is worthless."""
CLOSED_KNUCKLE = 0.8  # radians of the simulated driver joint when the gripper is empty and closed


@dataclass(frozen=True)
class View:
    """What one camera saw: ``image`` (h, w, 3) uint8 RGB and the true ``classes`` (h, w) uint8 of its pixels."""

    image: np.ndarray
    classes: np.ndarray


class Cell:
    """A simulated DROID cell. Arm joints in radians, gripper 0 open .. 1 closed, positions in metres in the base frame.

    Attributes:
        model: The compiled MuJoCo model.
        data: Its state; `step` advances it.
        visible: Names of the objects on the table since the last `reset`.
        strangers: Names of the objects on the table that no training recording shows.
        target: Name of the object the episode is about.
    """

    def __init__(self, width: int = 160, height: int = 96):
        self.model = build_model()
        self.data = mujoco.MjData(self.model)
        self._before = np.empty(mujoco.mj_stateSize(self.model, STATE))
        self.renderer = Renderer(self.model, width, height)
        self._q = np.array([self.model.joint(name).qposadr[0] for name in ARM_JOINTS])
        self._v = np.array([self.model.joint(name).dofadr[0] for name in ARM_JOINTS])
        self._arm = np.array([self.model.actuator(name).id for name in ARM_ACTUATORS])
        self._gripper = self.model.actuator(GRIPPER_ACTUATOR).id
        self._knuckle = self.model.joint(KNUCKLE)
        self._pinch = self.model.site("pinch").id
        self._free = {name: self.model.joint(name).qposadr[0] for name in (*PARKABLE, BOWL)}
        self._cameras = {name: _mount(self.model, name) for name in CAMERAS}
        mujoco.mj_forward(self.model, self.data)
        self._calibrations = {name: calibrate(self.model, self.data, name, width, height) for name in CAMERAS}
        self.visible: tuple[str, ...] = ()
        self.strangers: tuple[str, ...] = ()
        self.target = ""

    def reset(
        self,
        seed: int | np.random.Generator,
        target: str | None = None,
        look: Look | None = None,
        objects: tuple[str, ...] = NAMES,
        count: tuple[int, int] = VISIBLE_OBJECTS,
    ) -> None:
        """Lay the table anew and put the arm at `HOME_JOINTS`, gripper open.

        Args:
            seed: The same seed gives the same scene.
            target: Name of an object that must be on the table; drawn at random when not given.
            look: How the cell looks; the nominal look when not given.
            objects: What may be on the table beside the target.
            count: Fewest and most objects on the table, the target and the look's strangers included.

        Raises:
            SimCellError: No object is called ``target``.
        """
        rng = np.random.default_rng(seed)
        if target is not None and target not in NAMES:
            raise SimCellError(f"no object is called {target!r}; choose one of: {', '.join(NAMES)}")
        self.target = target or str(rng.choice([name for name in NAMES if not OBJECT[name].distractor]))
        others = [name for name in objects if name != self.target]
        self._dress(look or Look())
        drawn = rng.integers(count[0], max(count[0], count[1] - len(self.strangers)) + 1)
        chosen = {self.target, *rng.choice(others, drawn - 1, replace=False)}
        self.visible = tuple(name for name in NAMES if name in chosen)

        mujoco.mj_resetData(self.model, self.data)
        present = (*self.visible, *self.strangers)
        for k, name in enumerate(PARKABLE):
            # What is parked floats where it is.
            self.model.body_gravcomp[self.model.body(name).id] = 0.0 if name in present else 1.0
            self._place(name, PARKED + [0.3 * k, 0, 0], 0.0)
        for name, position in zip((BOWL, *present), draw_layout(rng, len(present)), strict=True):
            height = 0.0 if name == BOWL else OBJECT[name].height
            self._place(name, np.array([*position, height + 0.001]), rng.uniform(-np.pi, np.pi))
        self.move_arm_to(HOME_JOINTS)
        self.step(SETTLE_STEPS)

    def move_arm_to(self, joints: np.ndarray) -> None:
        """Put the arm at ``joints`` (7,) at once, at rest, without moving there. For starting poses only."""
        self.data.qpos[self._q], self.data.qvel[self._v] = joints, 0.0
        self.command(joints, np.zeros(7))
        mujoco.mj_forward(self.model, self.data)

    def command(self, joints: np.ndarray, velocities: np.ndarray, gripper: float | None = None) -> None:
        """Set what the servos follow from the next step on.

        Args:
            joints: ``(7,)`` desired positions.
            velocities: ``(7,)`` desired velocities; fed forward, so that the arm does not trail behind.
            gripper: Desired opening, 0 open .. 1 closed; unchanged when not given.
        """
        self.data.ctrl[self._arm] = joints + DAMPING / STIFFNESS * velocities
        if gripper is not None:
            self.data.ctrl[self._gripper] = GRIPPER_CONTROL_RANGE * np.clip(gripper, 0.0, 1.0)

    def step(self, count: int = 1) -> None:
        """Advance the physics by ``count`` steps of 1/480 s.

        Fingers that squeeze something against the table can make the solver diverge (MuJoCo warns). Everything then
        stays where it was for these steps, at rest.
        """
        mujoco.mj_getState(self.model, self.data, self._before, STATE)
        failures = self._failures()
        mujoco.mj_step(self.model, self.data, count)
        if self._failures() > failures:
            mujoco.mj_setState(self.model, self.data, self._before, STATE)
            self.data.qvel[:] = self.data.qacc_warmstart[:] = 0.0
            self.data.time += count / PHYSICS_RATE
            mujoco.mj_forward(self.model, self.data)

    def joints(self) -> np.ndarray:
        """Measured arm joints ``(7,)``."""
        return self.data.qpos[self._q].copy()

    def joint_velocities(self) -> np.ndarray:
        """Measured arm joint velocities ``(7,)`` in rad/s."""
        return self.data.qvel[self._v].copy()

    def gripper(self) -> float:
        """Measured opening: 0 open .. 1 closed."""
        angle = self.data.qpos[self._knuckle.qposadr[0]]
        return float(np.clip(angle / CLOSED_KNUCKLE, 0.0, 1.0))

    def knuckle(self) -> tuple[float, float]:
        """Measured knuckle angle [rad] and velocity [rad/s], on the scale of the 2F-85's ROS joint."""
        rate = self.data.qvel[self._knuckle.dofadr[0]] / CLOSED_KNUCKLE * gripper_model.CLOSED_RADIANS
        return float(gripper_model.to_radians(self.gripper())), float(rate)

    def pinch(self) -> np.ndarray:
        """Position ``(3,)`` of the point between the fingertips."""
        return self.data.site_xpos[self._pinch].copy()

    def position(self, name: str) -> np.ndarray:
        """Position ``(3,)`` of an object's origin."""
        return self.data.body(name).xpos.copy()

    def axes(self, name: str) -> np.ndarray:
        """``(3, 3)`` rotation of an object; its columns are its axes in the base frame."""
        return self.data.body(name).xmat.reshape(3, 3).copy()

    def render(self) -> dict[str, View]:
        """The three views of this moment, by camera name."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        self.renderer.update_shadows(self.data)
        return {name: View(*self.renderer.render(self.data, name)) for name in CAMERAS}

    def calibrations(self) -> dict[str, Calibration]:
        """Nominal calibration of each camera for the rendered size: what a laboratory knows of its cameras."""
        return dict(self._calibrations)

    def _failures(self) -> int:
        return sum(int(self.data.warning[kind].number) for kind in DIVERGED)

    def _dress(self, look: Look) -> None:
        self.strangers = look.strangers
        self.renderer.dress(look)
        for name, (position, rotation) in self._cameras.items():
            camera, shift = self.model.camera(name), look.camera_shifts[name]
            turn, quaternion = np.zeros(4), np.zeros(4)
            angle = float(np.linalg.norm(shift[3:]))
            mujoco.mju_axisAngle2Quat(turn, shift[3:] / max(angle, 1e-12), angle)
            mujoco.mju_mulQuat(quaternion, rotation, turn)
            axes = np.zeros(9)
            mujoco.mju_quat2Mat(axes, rotation)
            camera.pos, camera.quat = position + axes.reshape(3, 3) @ shift[:3], quaternion

    def _place(self, name: str, position: np.ndarray, yaw: float) -> None:
        start = self._free[name]
        self.data.qpos[start : start + 3] = position
        self.data.qpos[start + 3 : start + 7] = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]


def _mount(model: mujoco.MjModel, camera: str) -> tuple[np.ndarray, np.ndarray]:
    """Position ``(3,)`` and quaternion ``(4,)`` of a camera in its body."""
    return model.camera(camera).pos.copy(), model.camera(camera).quat.copy()


def draw_layout(rng: np.random.Generator, count: int) -> np.ndarray:
    """Positions ``(1 + count, 2)`` of the bowl (first) and ``count`` objects, none too close to another."""
    while True:
        placed = [rng.uniform(LAYOUT_LOW, LAYOUT_HIGH)]
        for _ in range(100):
            spot = rng.uniform(LAYOUT_LOW, LAYOUT_HIGH)
            gaps = np.linalg.norm(np.array(placed) - spot, axis=1)
            if gaps[0] > BOWL_GAP and (gaps[1:] > OBJECT_GAP).all():
                placed.append(spot)
            if len(placed) == count + 1:
                return np.array(placed)
