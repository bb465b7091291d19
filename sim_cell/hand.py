"""Moves the simulated arm in task space: poses of the pinch point in, servo commands at 15 Hz out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_model.conventions import CONTROL_PERIOD, PINCH_OFFSET, VIDEO_PERIOD, matrix_to_pose
from robot_model.franka import PANDA
from robot_model.ik import InverseKinematics
from robot_model.kinematics import ArmKinematics
from sim_cell.cell import HOME_JOINTS, Cell
from sim_cell.scene import PHYSICS_RATE

TICKS_PER_FRAME = round(VIDEO_PERIOD / CONTROL_PERIOD)
STEPS_PER_TICK = round(PHYSICS_RATE * CONTROL_PERIOD)
STEPS_PER_COMMAND = 4  # physics steps between two points of the ramp inside a tick
SPEED_MARGIN = 0.9  # share of the joint velocity limits that may be used

# Where the pinch point may be sent: metres in the base frame, and the yaw of the gripper in radians.
REACH_LOW, REACH_HIGH = np.array([0.32, -0.28, 0.018]), np.array([0.66, 0.28, 0.34])
REACH_YAW = 1.6


def pointing_down(yaw: float) -> np.ndarray:
    """``(3, 3)`` rotation of a gripper that points down, its x axis at ``yaw`` from the base's x."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])


@dataclass(frozen=True)
class Tick:
    """What was measured at one 15 Hz control step, and what was commanded at it.

    Attributes:
        joints: ``(7,)`` measured.
        gripper: Measured, 0 open .. 1 closed.
        commanded_joints: ``(7,)`` to be reached one control period later.
        commanded_gripper: 0 open .. 1 closed.
    """

    joints: np.ndarray
    gripper: float
    commanded_joints: np.ndarray
    commanded_gripper: float


class Hand:
    """The commanded gripper of a cell, always pointing down.

    Attributes:
        position: ``(3,)`` commanded position of the pinch point.
        yaw: Commanded yaw.
        gripper: Commanded opening, 0 open .. 1 closed.
    """

    def __init__(self, cell: Cell):
        self.cell = cell
        self.kinematics = ArmKinematics(PANDA)
        self._ik = InverseKinematics(self.kinematics)
        self._joints = HOME_JOINTS.copy()
        self.position, self.yaw, self.gripper = np.zeros(3), 0.0, 0.0

    def start_at(self, position: np.ndarray, yaw: float, gripper: float) -> None:
        """Put the arm at a pose at once, without moving there, and let the gripper open or close."""
        for _ in range(3):  # a far start: converge in a few solves
            self._joints = self._ik.solve(self._flange_target(position, yaw), self._joints).q
        self._start(gripper)

    def start_at_joints(self, joints: np.ndarray, gripper: float) -> None:
        """Put the arm at ``joints`` (7,) at once; the gripper should then point about down."""
        self._joints = np.array(joints)
        self._start(gripper)

    def _start(self, gripper: float) -> None:
        pinch = self.kinematics.forward(self._joints) @ PINCH_OFFSET
        self.position, self.yaw = pinch[:3, 3].copy(), float(np.arctan2(pinch[1, 0], pinch[0, 0]))
        self.gripper = gripper
        self.cell.move_arm_to(self._joints)
        self.cell.command(self._joints, np.zeros(7), gripper)
        self.cell.step(PHYSICS_RATE // 2)

    def move(self, step: np.ndarray, turn: float, gripper: float) -> list[Tick]:
        """Execute one video frame (0.2 s): a straight motion at constant speed, clipped to the reachable box.

        Args:
            step: ``(3,)`` displacement of the pinch point in metres.
            turn: Change of yaw in radians.
            gripper: Commanded opening from now on.

        Returns:
            The control steps of this frame.
        """
        start, start_yaw = self.position, self.yaw
        self.position = np.clip(start + step, REACH_LOW, REACH_HIGH)
        self.yaw = float(np.clip(start_yaw + turn, -REACH_YAW, REACH_YAW))
        self.gripper = gripper
        ticks = []
        for k in range(1, TICKS_PER_FRAME + 1):
            part = k / TICKS_PER_FRAME
            target = self._flange_target(
                start + part * (self.position - start), start_yaw + part * (self.yaw - start_yaw)
            )
            limit = SPEED_MARGIN * PANDA.velocity * CONTROL_PERIOD
            joints = self._ik.solve(target, self._joints, max_step=limit).q
            ticks.append(Tick(self.cell.joints(), self.cell.gripper(), joints, gripper))
            self._ramp_to(joints)
        return ticks

    def idle_tick(self) -> Tick:
        """What is measured now, beside the command that still stands."""
        return Tick(self.cell.joints(), self.cell.gripper(), self._joints.copy(), self.gripper)

    def pose(self, joints: np.ndarray) -> np.ndarray:
        """Flange poses ``(..., 6)`` of joints ``(..., 7)``."""
        return matrix_to_pose(self.kinematics.forward(joints))

    def _ramp_to(self, joints: np.ndarray) -> None:
        start, velocity = self._joints, (joints - self._joints) / CONTROL_PERIOD
        for done in range(0, STEPS_PER_TICK, STEPS_PER_COMMAND):
            part = (done + STEPS_PER_COMMAND) / STEPS_PER_TICK
            self.cell.command(start + part * (joints - start), velocity, self.gripper)
            self.cell.step(STEPS_PER_COMMAND)
        self._joints = joints

    def _flange_target(self, position: np.ndarray, yaw: float) -> np.ndarray:
        pinch = np.eye(4)
        pinch[:3, :3], pinch[:3, 3] = pointing_down(yaw), position
        return pinch @ np.linalg.inv(PINCH_OFFSET)
