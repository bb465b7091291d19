"""What people want of the bridge: a task, motion or none, a stop. Said in any thread, takes effect at the next tick."""

from __future__ import annotations

from robot_bridge.guard.reasons import Finding
from robot_bridge.guard.stop import LatchedStop


class Wishes:
    """The wishes as they stand.

    Attributes:
        active: Motion is allowed.
        stop_latch: The latched stop.
    """

    def __init__(self, instruction: str, active: bool) -> None:
        self.active = active
        self.stop_latch = LatchedStop()
        self._instruction = instruction
        self._new_instruction = False

    @property
    def instruction(self) -> str:
        """The task in words."""
        return self._instruction

    def instruct(self, instruction: str, again: bool = False) -> None:
        """Give a (new) task; an empty one means: stand still.

        Args:
            instruction: In words.
            again: Begin anew also where it is the present task.
        """
        if again or instruction != self._instruction:
            self._instruction, self._new_instruction = instruction, True

    def activate(self) -> None:
        """Allow motion."""
        self.active = True

    def deactivate(self) -> None:
        """Brake and hold until `activate`."""
        self.active = False

    def stop(self, finding: Finding) -> None:
        """Brake, hold, and stay so until the stop is re-armed."""
        self.stop_latch.trip(finding)

    def _take_instruction(self) -> bool:
        """Whether a new task was given since the last call."""
        new, self._new_instruction = self._new_instruction, False
        return new
