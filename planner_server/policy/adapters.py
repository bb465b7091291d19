"""Which action adapter a policy's joint velocities go through: learned for DROID's robots, none for an exact arm."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.adapter import DROID_ADAPTER, Adapter, load_adapter
from models.errors import BundleError
from planner_server.policy.errors import PolicyError
from robot_model.adapter import STEP_ANGLE
from robot_model.conventions import CONTROL_PERIOD

METADATA = "action_adapter"
"""Key under which a policy server may say how its actions are carried out."""
INTEGRATE, DROID, AUTO = "integrate", "droid", "auto"


class AdapterChoice:
    """An adapter for every policy, or the one that a policy names for itself."""

    def __init__(self, choice: str = AUTO) -> None:
        """Load it.

        Args:
            choice: ``integrate``, ``droid`` (the one that ships), a file for `models.adapter.load_adapter`, or
                ``auto``: as the policy server says; DROID's where it says nothing, as openpi's.

        Raises:
            PolicyError: The file cannot be used.
        """
        self._asks = choice == AUTO
        file = DROID_ADAPTER if choice in (AUTO, DROID) else Path(choice)
        try:
            self._learned = None if choice == INTEGRATE else load_adapter(file)
        except BundleError as error:
            raise PolicyError(f"the action adapter cannot be used: {error}") from error

    def of(self, metadata: Mapping[Any, Any]) -> Adapter | None:
        """The adapter of a policy whose server said ``metadata``; None: its arm does exactly what it is told."""
        return None if self._asks and metadata.get(METADATA) == INTEGRATE else self._learned


@torch.no_grad()
def joint_velocities(actions: np.ndarray, joints: np.ndarray, adapter: Adapter | None) -> np.ndarray:
    """Velocities ``(N, 7)`` [rad/s] at which the arm really moves in each control step.

    Args:
        actions: ``(N, 7)`` joint velocities in DROID's units; clipped to +-1, as DROID's stack does.
        joints: ``(7,)`` at the start, rad.
        adapter: How the arm follows; None: exactly.
    """
    told = np.clip(actions, -1.0, 1.0)
    if adapter is None:
        return told * STEP_ANGLE / CONTROL_PERIOD
    start = torch.from_numpy(np.asarray(joints, np.float32))
    reached = adapter(start[None], torch.from_numpy(told.astype(np.float32))[None])[0]
    return np.diff(reached.double().numpy(), axis=0, prepend=start.double().numpy()[None]) / CONTROL_PERIOD
