"""A trained `models.policy.ClonedPolicy` as something to serve: DROID's observations in, DROID's actions out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.policy import load_policy
from planner_server.policy.adapters import INTEGRATE, METADATA
from planner_server.policy.droid import EXTERIOR, GRIPPER, JOINTS, PROMPT, WRIST, unpadded
from planner_server.policy.errors import MessageError
from robot_model.adapter import STEP_ANGLE
from robot_model.conventions import CONTROL_PERIOD

LONGEST_PROMPT = 500


class ServedPolicy:
    """See `server.Policy`.

    Attributes:
        metadata: What a client is told on connection.
    """

    def __init__(self, file: Path) -> None:
        """Load a policy.

        Raises:
            BundleError: The file is missing, damaged, or no policy.
        """
        self._policy = load_policy(file)
        config = self._policy.config
        self.metadata: dict[str, Any] = {
            "model": "vidplan cloned policy",
            "action_space": "joint_velocity",
            METADATA: INTEGRATE,  # it learned from the simulated cell, whose arm does what it is told
            "action_horizon": config.steps,
            "image_size": list(config.image_size),
        }

    def infer(self, observation: Mapping[Any, Any]) -> dict[str, Any]:
        """Actions ``(steps, 8)`` float32, see `droid`.

        Raises:
            MessageError: A key is missing or does not fit.
        """
        pictures = np.stack([self._picture(observation, key) for key in (EXTERIOR, WRIST)])
        joints, gripper = _numbers(observation, JOINTS, 7), _numbers(observation, GRIPPER, 1)
        prompt = observation.get(PROMPT)
        if not isinstance(prompt, str) or len(prompt) > LONGEST_PROMPT:
            raise MessageError(f"`{PROMPT}` must be text of at most {LONGEST_PROMPT} characters")
        chunk = self._policy.act(torch.from_numpy(pictures)[None], joints[None], gripper, [prompt])[0].numpy()
        velocities = np.clip(chunk[:, :7] * (CONTROL_PERIOD / STEP_ANGLE), -1.0, 1.0)
        return {"actions": np.concatenate([velocities, chunk[:, 7:]], axis=1)}

    def _picture(self, observation: Mapping[Any, Any], key: str) -> np.ndarray:
        square = observation.get(key)
        if not isinstance(square, np.ndarray) or square.dtype != np.uint8 or not _is_square(square.shape):
            raise MessageError(f"`{key}` must be a square uint8 RGB picture (224, 224, 3), resized with black bars")
        return unpadded(square, self._policy.config.image_size)


def _is_square(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] == shape[1] and shape[2] == 3 and 32 <= shape[0] <= 1024


def _numbers(observation: Mapping[Any, Any], key: str, count: int) -> torch.Tensor:
    values = observation.get(key)
    if not isinstance(values, np.ndarray) or values.shape != (count,) or not np.isfinite(values).all():
        raise MessageError(f"`{key}` must be an array of {count} finite number(s)")
    return torch.from_numpy(values.astype(np.float32))
