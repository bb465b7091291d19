"""What the joints may do: the arm's limits, scaled, and so that a stop never takes longer than the stop time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_model.franka import Franka


@dataclass(frozen=True, eq=False)
class JointLimits:
    """Limits of the commanded motion; every array is ``(7,)``.

    Attributes:
        lower: Smallest positions, rad.
        upper: Largest positions, rad.
        velocity: Largest speeds, rad/s: low enough to brake to rest within ``stop_time``.
        acceleration: Largest accelerations, rad/s^2.
        period: Seconds between two commands.
        stop_time: Seconds within which the arm can always be brought to rest.
    """

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    period: float
    stop_time: float

    @classmethod
    def of(cls, arm: Franka, config: BridgeConfig) -> JointLimits:
        """Limits of an arm under the bridge's settings."""
        acceleration = config.acceleration_scale * arm.acceleration
        # Braking takes whole control periods, so the bound counts only those that fit into the stop time.
        braking = int(config.stop_time / config.control_period + 1e-9) * config.control_period
        return cls(
            lower=arm.lower,
            upper=arm.upper,
            velocity=np.minimum(config.velocity_scale * arm.velocity, acceleration * braking),
            acceleration=acceleration,
            period=config.control_period,
            stop_time=braking,
        )
