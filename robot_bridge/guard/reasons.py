"""Why something was refused, changed or stopped: one code per layer, stable, for people, logs and programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reason(str, Enum):
    """Reason codes with their meanings, grouped by what they judge.

    Attributes:
        meaning: One line for a person who meets the code.
    """

    meaning: str

    def __new__(cls, code: str, meaning: str = "") -> Reason:
        """A code that is its own text."""
        reason = str.__new__(cls, code)
        reason._value_ = code
        reason.meaning = meaning
        return reason

    CAMERA_MISSING = "camera_missing", "a camera has not sent anything yet"
    CAMERA_STALE = "camera_stale", "the newest picture of a camera, or of all together, is too old"
    CAMERA_SKEW = "camera_skew", "the cameras' pictures were not taken at the same moment"
    JOINTS_MISSING = "joints_missing", "no joint states, or none of this arm"
    JOINTS_STALE = "joints_stale", "the newest joint state is too old"
    FUTURE_STAMP = "future_stamp", "a sensor's stamp is ahead of the robot's clock"
    OUT_OF_ORDER = "out_of_order", "a stamp is older than what came before it"
    DUPLICATE_STAMP = "duplicate_stamp", "a stamp came twice"
    NO_STAMP = "no_stamp", "a message carries no stamp"
    HISTORY_SHORT = "history_short", "the planner wants older pictures than there are yet"
    HISTORY_GAP = "history_gap", "a picture that the planner wants is missing in between"

    PLAN_STALE = "plan_stale", "the plan rests on too old an observation"
    PLAN_MISMATCHED = "plan_mismatched", "the plan answers another request, or has another shape or times"
    PLAN_NON_FINITE = "plan_non_finite", "the plan holds NaN, infinity or absurd numbers"
    PLAN_LATE = "plan_late", "the plan begins in the past and the arm has moved on since"
    PLAN_UNCERTAIN = "plan_uncertain", "the planner trusts none of the futures it imagines; it explores, slowed down"
    FIRST_WAYPOINT_FAR = "first_waypoint_far", "the plan does not begin where the arm is commanded to be"
    WORKSPACE = "workspace", "a waypoint is outside the workspace box"
    LINEAR_STEP = "linear_step", "the flange would move too fast between two waypoints"
    ANGULAR_STEP = "angular_step", "the flange would turn too fast between two waypoints"

    IK_RESIDUAL = "ik_residual", "the arm cannot reach the pose in time"
    CONDITIONING_SLOW = "conditioning_slow", "slowed down near a singularity"
    CONDITIONING_STOP = "conditioning_stop", "too near a singularity"
    JOINT_MARGIN = "joint_margin", "too near a joint's end stop"
    SELF_COLLISION = "self_collision", "two parts of the robot would come too near each other"
    SCENE_COLLISION = "scene_collision", "a part of the robot would come too near the table or a keep-out box"

    COMMAND_POSITION = "command_position", "a message was not finite or beyond a joint's range; not sent"
    COMMAND_VELOCITY = "command_velocity", "a message exceeded a speed limit, or its times did not increase; not sent"
    COMMAND_ACCELERATION = "command_acceleration", "a message exceeded an acceleration limit; not sent"
    COMMAND_JERK = "command_jerk", "a message exceeded a jerk limit; not sent"
    COMMAND_JUMP = "command_jump", "a message did not continue the last one; not sent"
    COMMAND_NO_BRAKE = "command_no_brake", "a message did not end at rest; not sent"
    COMMAND_COLLISION = "command_collision", "a message led too near something; not sent"
    CONTROL_LATE = "control_late", "the bridge came so late that the arm had begun to stop by itself"
    TRACKING_ERROR = "tracking_error", "the measured arm is far from where it is commanded to be"
    NOT_FOLLOWING = "not_following", "the robot was commanded to move, and did not"
    BACKEND_ERROR = "backend_error", "the robot's controller refused a command or cannot be reached"

    ROBOT_REFLEX = "robot_reflex", "the arm stopped itself (reflex): look why, call /vidplan/recover, re-arm"
    USER_STOPPED = "user_stopped", "the arm's user stop is pressed: release it, call /vidplan/recover, re-arm"
    ROBOT_NOT_READY = "robot_not_ready", "asked to re-arm before errors, hardware and controller are in order: recover"

    NO_PLAN = "no_plan", "the chunk is done and no plan is on its way"
    AWAITING_PLAN = "awaiting_plan", "the chunk is done, the next one is being made"
    OPERATOR_NEEDED = (
        "operator_needed",
        "the planner has been unsure for too long: look at the cell or change the task",
    )
    SERVER_LOST = "server_lost", "the connection to the planner is lost"
    SERVER_ERROR = "server_error", "the planner answered with an error"
    SPEC_MISMATCH = "spec_mismatch", "the planner's promises do not fit this robot"
    REQUEST_TIMEOUT = "request_timeout", "the planner did not answer in time"
    NEW_INSTRUCTION = "new_instruction", "another task was given"
    STOPPED = "stopped", "somebody asked for the stop"
    NOT_STOPPED = "not_stopped", "asked to re-arm, but nothing was stopped"
    NOT_AT_REST = "not_at_rest", "asked to re-arm while the arm still moves"

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


def reasons_table() -> str:
    """Every code and its meaning as a Markdown table, for `docs/reference.md`."""
    rows = [f"| `{reason.value}` | {reason.meaning} |" for reason in Reason]
    return "\n".join(["| code | meaning |", "|---|---|", *rows])
