"""What the joints may do: the arm's limits, scaled, and so that a stop never takes longer than the stop time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from robot_bridge.config import BridgeConfig
from robot_model.franka import Franka

SMOOTHING = 0.01
"""Seconds over which accelerations change. The jerk that makes, 2 / 0.01 s = 200 times the acceleration limit
per second, is well below a Franka's limit of 500 times (Franka Control Interface documentation)."""


@dataclass(frozen=True, eq=False)
class JointLimits:
    """Limits of the commanded motion; every array is ``(7,)``.

    Attributes:
        lower: Smallest positions, rad; of an FR3 a little inside the arm's own, see `_ends`.
        upper: Largest positions, rad.
        velocity: Largest speeds, rad/s: low enough to brake to rest within ``stop_time``.
        acceleration: Largest accelerations, rad/s^2.
        approach: Largest decelerations towards the ends of the range, rad/s^2.
        jerk: Largest jerks, rad/s^3: the same share of the arm's as for the accelerations.
        smoothing: Seconds over which the acceleration changes where it would step (`execution/smoothing.py`).
        period: Seconds between two nodes of the motion; commands may come more often.
        stop_time: Seconds within which the arm can always be brought to rest.
    """

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    approach: np.ndarray
    jerk: np.ndarray
    smoothing: float
    period: float
    stop_time: float

    @classmethod
    def of(cls, arm: Franka, config: BridgeConfig) -> JointLimits:
        """Limits of an arm under the bridge's settings."""
        acceleration = config.acceleration_scale * arm.acceleration
        # Braking takes whole periods, so the bound counts only those that fit into the stop time.
        braking = int(config.stop_time / config.node_period + 1e-9) * config.node_period
        lower, upper, approach = _ends(arm, acceleration)
        return cls(
            lower=lower,
            upper=upper,
            velocity=np.minimum(config.velocity_scale * arm.velocity, acceleration * braking),
            acceleration=acceleration,
            approach=approach,
            jerk=config.acceleration_scale * arm.jerk,
            smoothing=SMOOTHING,
            period=config.node_period,
            stop_time=braking,
        )


def _ends(arm: Franka, acceleration: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends of the joints' ranges and the deceleration towards them that keep an FR3's position-dependent speed limit.

    At distance d from an end that limit is sqrt(s d) - o. Coming to rest at distance 2 o^2 / s with deceleration s / 4
    stays below it: with v^2 = (s / 2) (d - 2 o^2 / s), s d - (v + o)^2 = (v - o)^2 >= 0.
    """
    if arm.taper is None:
        return arm.lower, arm.upper, acceleration
    rest = 2 * arm.taper.offset**2 / arm.taper.slope
    lower = np.maximum(arm.lower, arm.taper.lower + rest)
    upper = np.minimum(arm.upper, arm.taper.upper - rest)
    return lower, upper, np.minimum(acceleration, arm.taper.slope / 4)
