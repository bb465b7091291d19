"""Everything the bridge says and hears over ROS, as a table: the node and the reference page take it from here.

Names of the robot's own topics are in `robot_model.ros_names`.
"""

from __future__ import annotations

from dataclasses import dataclass

from robot_model.ros_names import INSTRUCTION, STATUS

STOP_SERVICE = "/vidplan/stop"
REARM_SERVICE = "/vidplan/rearm"
RECOVER_SERVICE = "/vidplan/recover"
LABEL_SERVICE = "/vidplan/label_trial"
TASK_ACTION = "/vidplan/execute_task"
DIAGNOSTICS = "/diagnostics"
PLANS = "/vidplan/plans"
TRIAL_EVENTS = "/vidplan/trial_events"
PATH = "/vidplan/plan/path"
MARKERS = "/vidplan/plan/markers"
IMAGINED = "/vidplan/plan/imagined/compressed"
UNCERTAINTY = "/vidplan/plan/uncertainty/compressed"
NODE = "vidplan_bridge"


@dataclass(frozen=True)
class Interface:
    """A topic, a service or an action.

    Attributes:
        name: Its name; {braces} hold the name of a setting.
        type: ROS type.
        way: ``in``, ``out``, ``service`` or ``action``.
        help: What it carries, and when.
    """

    name: str
    type: str
    way: str
    help: str


INTERFACES: tuple[Interface, ...] = (
    Interface(
        "{cameras}", "sensor_msgs/Image or CompressedImage", "in", "one per camera; bgra8, rgb8, bgr8 and others"
    ),
    Interface("{joint_topic}", "sensor_msgs/JointState", "in", "the seven joints; the gripper's knuckle or finger"),
    Interface(INSTRUCTION, "std_msgs/String", "in", "the task in words; empty: stand still"),
    Interface("{arm_command_topic}", "by {backend}", "out", "guarded motion; does not exist in a dry run"),
    Interface("{gripper_command_topic}", "by {gripper}", "out", "on edges only; does not exist in a dry run"),
    Interface(STATUS, "std_msgs/String", "out", "one JSON object per event; the last 100 for latecomers"),
    Interface(
        DIAGNOSTICS,
        "diagnostic_msgs/DiagnosticArray",
        "out",
        "1 Hz: cameras, joints, server, controller, guard, watchdog",
    ),
    Interface(PLANS, "vidplan_msgs/PlanStatus", "out", "one per plan, where vidplan_msgs is installed"),
    Interface(TRIAL_EVENTS, "vidplan_msgs/TrialEvent", "out", "what happens to a task of ExecuteTask"),
    Interface(PATH, "nav_msgs/Path", "out", "the flange along the chunk that is followed; only while subscribed"),
    Interface(
        MARKERS,
        "visualization_msgs/MarkerArray",
        "out",
        "the same, blue sure .. red unsure, and the other candidates in grey; only while subscribed",
    ),
    Interface(
        IMAGINED,
        "sensor_msgs/CompressedImage",
        "out",
        "the imagined video of the chosen chunk: a row per camera, time to the right; asked for only while subscribed",
    ),
    Interface(
        UNCERTAINTY, "sensor_msgs/CompressedImage", "out", "the same with the uncertainty on top; only while subscribed"
    ),
    Interface(STOP_SERVICE, "std_srvs/Trigger", "service", "latched software stop; not an emergency stop"),
    Interface(
        REARM_SERVICE, "std_srvs/Trigger", "service", "allow motion again: arm at rest, senses fresh, driver ready"
    ),
    Interface(
        RECOVER_SERVICE, "std_srvs/Trigger", "service", "errors, hardware, controller, in this order; moves nothing"
    ),
    Interface(LABEL_SERVICE, "vidplan_msgs/LabelTrial", "service", "what the operator saw; ends the task it names"),
    Interface(
        f"/{NODE}/change_state, ...",
        "lifecycle_msgs/ChangeState, ...",
        "service",
        "the transitions of a lifecycle node",
    ),
    Interface(TASK_ACTION, "vidplan_msgs/ExecuteTask", "action", "one task in words; cancelling brakes and holds"),
)
