"""Local planners by name, with their settings from the planner's configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from planner_server.config import PlannerConfig
from planner_server.local_planners.cem import CrossEntropy
from planner_server.local_planners.fingers_and_turns import FingersAndTurns
from planner_server.local_planners.gradient import GradientAscent
from planner_server.local_planners.interfaces import LocalPlanner
from planner_server.local_planners.mppi import PathIntegral
from planner_server.local_planners.none import Unrefined

PATHS: Mapping[str, Callable[[PlannerConfig], LocalPlanner]] = {
    "gradient": lambda c: GradientAscent(c.step_position, c.step_rotation, c.turn_axes, c.step_gripper),
    "cem": lambda c: CrossEntropy(c.samples, max(2, c.samples // 4), c.sample_position),
    "mppi": lambda c: PathIntegral(c.samples, c.sample_position, c.temperature),
    "none": lambda c: Unrefined(),
}


def local_planner(config: PlannerConfig) -> LocalPlanner:
    """The local planner that ``config`` names; fingers and yaw are asked about after every one that refines."""
    paths = PATHS[config.local_planner](config)
    if config.local_planner == "none" or not config.regrip_draws:
        return paths
    return FingersAndTurns(paths, config.regrip_margin, config.regrip_draws, config.regrip_reach)
