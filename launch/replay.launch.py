"""A recorded bag instead of a robot: the bridge plans on it in dry run; RViz and Foxglove may watch.

ros2 launch vidplan_bringup replay.launch.py bag:=trials/20260101_120000_anna/bag

The bag plays in a ROS domain of its own on this machine, its command topics come out under /recorded, and the bridge
is a dry run, so that no controller can take anything for a command. For reports, and plans that do not depend on the
speed of this machine, use `vidplan replay`, which stops the bag's clock while it plans.
"""

import os

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

COMMANDS = (
    "/panda_arm_controller/joint_trajectory",
    "/fr3_arm_controller/joint_trajectory",
    "/robotiq_gripper_controller/commands",
)
OWN = (
    *("/vidplan/status", "/vidplan/plans", "/vidplan/trial_events", "/diagnostics"),
    *("/vidplan/plan/path", "/vidplan/plan/markers"),
    *("/vidplan/plan/imagined/compressed", "/vidplan/plan/uncertainty/compressed"),
)
"""What this bridge says itself."""


def generate_launch_description() -> LaunchDescription:
    """The player, the bridge, and the end of both when the bag is over."""
    share = FindPackageShare("vidplan_bringup")
    # Before Iron "this machine only" was a switch.
    humble = os.environ.get("ROS_DISTRO") == "humble"
    local = ("ROS_LOCALHOST_ONLY", "1") if humble else ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    return LaunchDescription(
        [
            DeclareLaunchArgument("bag", description="rosbag2 folder, or an .mcap or .db3 file"),
            DeclareLaunchArgument(
                "mapping",
                default_value="",
                description="mapping file of a bag with other names (vidplan bag inspect); needs record",
            ),
            DeclareLaunchArgument("robot", default_value="fr3", choices=["fr3", "panda"], description="arm of the bag"),
            DeclareLaunchArgument(
                "server", default_value="tcp://127.0.0.1:5555", description="address of the planner server"
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([share, "config", "bridge.yaml"]),
                description="settings of the bridge, e.g. the bag's camera topics",
            ),
            DeclareLaunchArgument("instruction", default_value="", description="the task; empty: the bag's own"),
            DeclareLaunchArgument("namespace", default_value="", description="namespace of the recorded topics"),
            DeclareLaunchArgument("rate", default_value="1.0", description="speed of the bag's clock"),
            DeclareLaunchArgument("delay", default_value="3.0", description="seconds until the bag begins to play"),
            DeclareLaunchArgument("record", default_value="", description="folder for the run's record; empty: none"),
            DeclareLaunchArgument("domain", default_value="43", description="ROS domain of this replay"),
            DeclareLaunchArgument(
                "rviz", default_value="false", choices=["true", "false"], description="show cameras and arm"
            ),
            SetEnvironmentVariable("ROS_DOMAIN_ID", LaunchConfiguration("domain")),
            SetEnvironmentVariable(*local),
            OpaqueFunction(function=_replay),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", PathJoinSubstitution([share, "config", "vidplan.rviz"])],
                parameters=[{"use_sim_time": True}],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )


def _mapped(given: dict[str, str]) -> list[LaunchDescriptionEntity]:
    """A bag whose names `ros2 bag play` cannot mend: `vidplan replay` plays it to its own bridge, in our domain."""
    if not given["record"]:
        raise RuntimeError(
            "a bag with a mapping is played by `vidplan replay`, which writes a report: say record:=FOLDER"
        )
    task = ["--instruction", given["instruction"]] if given["instruction"] else []
    replay = ["vidplan", "replay", given["bag"], "--mapping", given["mapping"], "--out", given["record"], *task]
    where = ["--server", given["server"], "--domain-id", given["domain"]]
    return _until_the_end_of(ExecuteProcess(cmd=[*replay, *where], output="screen"))


def _until_the_end_of(player: ExecuteProcess) -> list[LaunchDescriptionEntity]:
    over = EmitEvent(event=Shutdown(reason="the bag is over"))
    return [player, RegisterEventHandler(OnProcessExit(target_action=player, on_exit=[over]))]


def _replay(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = context.launch_configurations
    if given["mapping"]:
        return _mapped(given)
    prefix = "/" + given["namespace"].strip("/") if given["namespace"].strip("/") else ""
    away = [*COMMANDS, *OWN, *(["/vidplan/instruction"] if given["instruction"] else [])]
    away += [prefix + topic for topic in COMMANDS] if prefix else []
    settings = {
        "robot": given["robot"],
        "server": ParameterValue(given["server"], value_type=str),
        "instruction": ParameterValue(given["instruction"], value_type=str),
        "record": ParameterValue(given["record"], value_type=str),
        "dry_run": True,
        "use_sim_time": True,
    }
    if prefix:
        settings["joint_topic"] = f"{prefix}/joint_states"
    bridge = Node(
        package="vidplan_bridge", executable="bridge", parameters=[given["params_file"], settings], output="screen"
    )
    play = ["ros2", "bag", "play", given["bag"], "--clock", "100", "--rate", given["rate"], "--delay", given["delay"]]
    remaps = [f"{topic}:=/recorded{topic}" for topic in away]
    player = ExecuteProcess(cmd=[*play, "--remap", *remaps], output="screen")
    return [bridge, *_until_the_end_of(player)]
