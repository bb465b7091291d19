"""How a task can end: the numbers of vidplan_msgs/ExecuteTask, with what they mean and where they come from."""

from __future__ import annotations

from enum import IntEnum

from robot_bridge.guard.reasons import Reason


class TaskError(IntEnum):
    """Never renumbered. The names are those of the action with ``ERROR_`` in front.

    Attributes:
        meaning: One line for a person who meets the code.
    """

    meaning: str

    def __new__(cls, number: int, meaning: str = "") -> TaskError:
        """A code that is its own number."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.meaning = meaning
        return code

    NONE = 0, "the task ended because somebody labelled it; the outcome says how"
    INVALID_GOAL = 100, "the goal cannot be carried out as it is: no instruction, a bad number, or the other dry_run"
    NOT_ACTIVE = 101, "the bridge is not activated"
    BUSY = 102, "the bridge carries out another goal"
    CANCELLED = 200, "cancelled by the client, or by another task on /vidplan/instruction; the arm brakes and holds"
    TIMEOUT = 201, "the goal's time is over; the arm brakes and holds"
    CAMERA = 300, "a camera is missing, stale, or not in step with the others"
    JOINT_STATES = 301, "joint states are missing or stale"
    SERVER_LOST = 400, "the connection to the planner is lost and did not come back in time"
    SERVER_REFUSED = 401, "the planner answers with errors"
    SPEC_MISMATCH = 402, "the planner's promises do not fit this robot; the message names each difference"
    REQUEST_TIMEOUT = 403, "the planner does not answer in time"
    PLAN_REFUSED = 500, "plans were refused until patience was over; the message has the last reason"
    STOPPED = 501, "the latched stop is set; call /vidplan/rearm"
    OPERATOR_NEEDED = 502, "the planner trusts none of the futures it imagines: look at the cell, then ask again"
    NOT_FOLLOWING = 600, "the arm is not where it was told to be"
    ROBOT_FAULT = 601, "reflex, user stop, or a controller that is not active"
    INTERNAL = 900, "a fault of the bridge itself; its log says more"


_BY_REASON = {
    TaskError.CAMERA: (
        Reason.CAMERA_MISSING,
        Reason.CAMERA_STALE,
        Reason.CAMERA_SKEW,
        Reason.HISTORY_SHORT,
        Reason.HISTORY_GAP,
    ),
    TaskError.JOINT_STATES: (Reason.JOINTS_MISSING, Reason.JOINTS_STALE),
    TaskError.SERVER_LOST: (Reason.SERVER_LOST,),
    TaskError.SERVER_REFUSED: (Reason.SERVER_ERROR,),
    TaskError.SPEC_MISMATCH: (Reason.SPEC_MISMATCH,),
    TaskError.REQUEST_TIMEOUT: (Reason.REQUEST_TIMEOUT, Reason.AWAITING_PLAN, Reason.NO_PLAN),
    TaskError.STOPPED: (Reason.STOPPED,),
    TaskError.OPERATOR_NEEDED: (Reason.OPERATOR_NEEDED,),
    TaskError.NOT_FOLLOWING: (Reason.NOT_FOLLOWING, Reason.TRACKING_ERROR),
    TaskError.ROBOT_FAULT: (
        Reason.BACKEND_ERROR,
        Reason.ROBOT_REFLEX,
        Reason.USER_STOPPED,
        Reason.ROBOT_NOT_READY,
    ),
}
_CODES = {reason.value: code for code, reasons in _BY_REASON.items() for reason in reasons}


def code_of(reason: str) -> TaskError:
    """The code for a task that cannot go on for a reason code of the guard; plans refused where none fits better."""
    return _CODES.get(reason, TaskError.PLAN_REFUSED)


def codes_table() -> str:
    """Every code as a Markdown table."""
    rows = [f"| {code.value} | `ERROR_{code.name}` | {code.meaning} |" for code in TaskError]
    return "\n".join(["| code | name | meaning |", "|---|---|---|", *rows])
