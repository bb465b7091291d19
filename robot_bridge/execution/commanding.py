"""From the commanded motion to the commands that are due: one at a tick, or in a dry run those of a whole chunk."""

from __future__ import annotations

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_bridge.execution.commanded import Command, CommandedMotion
from robot_bridge.execution.gripper import GripperSwitch
from robot_bridge.guard.reasons import Finding


class Commander:
    """Arm and gripper together."""

    def __init__(self, config: BridgeConfig, motion: CommandedMotion) -> None:
        self.motion, self.gripper, self._period = motion, GripperSwitch(config), config.control_period

    def due(self, now: float, gripper_moves: bool) -> Command | Finding | None:
        """The command of one moment; None where nothing is commanded yet, or the guard's objection.

        Args:
            now: Robot time.
            gripper_moves: The gripper follows the plan; otherwise it is left as it is.
        """
        if not self.motion.known:
            return None
        message = self.motion.message(now)
        if isinstance(message, Finding):
            return message
        pose = self.motion.pose(now)
        goal = self.gripper.update(now, pose[6]) if gripper_moves else None
        return Command(now, self.motion.schedule.joints(now), pose, message, goal)

    def shadow(self, begin: float) -> tuple[list[Command], tuple[float, Finding] | None]:
        """All commands of a dry run's chunk, made and guarded as they would have been, up to the first objection."""
        commands: list[Command] = []
        for time in np.arange(begin, self.motion.schedule.end, self._period).tolist():
            command = self.due(time, gripper_moves=True)
            if isinstance(command, Finding):
                return commands, (time, command)
            if command is not None:
                commands.append(command)
        return commands, None
