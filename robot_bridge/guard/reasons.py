"""Why something was refused, changed or stopped: one code per layer, stable, for people, logs and programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(str, Enum):
    """Reason codes, grouped by what they judge: observations, plans, the path, the command, the situation."""

    CAMERA_MISSING = "camera_missing"
    CAMERA_STALE = "camera_stale"
    CAMERA_SKEW = "camera_skew"
    JOINTS_MISSING = "joints_missing"
    JOINTS_STALE = "joints_stale"
    FUTURE_STAMP = "future_stamp"
    OUT_OF_ORDER = "out_of_order"
    DUPLICATE_STAMP = "duplicate_stamp"
    NO_STAMP = "no_stamp"
    HISTORY_SHORT = "history_short"
    HISTORY_GAP = "history_gap"

    PLAN_STALE = "plan_stale"
    PLAN_MISMATCHED = "plan_mismatched"
    PLAN_NON_FINITE = "plan_non_finite"
    PLAN_LATE = "plan_late"
    FIRST_WAYPOINT_FAR = "first_waypoint_far"
    WORKSPACE = "workspace"
    LINEAR_STEP = "linear_step"
    ANGULAR_STEP = "angular_step"

    IK_RESIDUAL = "ik_residual"
    CONDITIONING_SLOW = "conditioning_slow"
    CONDITIONING_STOP = "conditioning_stop"
    JOINT_MARGIN = "joint_margin"
    SELF_COLLISION = "self_collision"
    SCENE_COLLISION = "scene_collision"

    COMMAND_POSITION = "command_position"
    COMMAND_VELOCITY = "command_velocity"
    COMMAND_ACCELERATION = "command_acceleration"
    COMMAND_JERK = "command_jerk"
    COMMAND_COLLISION = "command_collision"
    COMMAND_JUMP = "command_jump"
    COMMAND_NO_BRAKE = "command_no_brake"
    CONTROL_LATE = "control_late"
    TRACKING_ERROR = "tracking_error"

    NO_PLAN = "no_plan"
    AWAITING_PLAN = "awaiting_plan"
    SERVER_LOST = "server_lost"
    SERVER_ERROR = "server_error"
    SPEC_MISMATCH = "spec_mismatch"
    REQUEST_TIMEOUT = "request_timeout"
    NEW_INSTRUCTION = "new_instruction"
    STOPPED = "stopped"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Finding:
    """What a layer has to say.

    Attributes:
        reason: The code.
        detail: What was wrong, where, with numbers.
    """

    reason: Reason
    detail: str
