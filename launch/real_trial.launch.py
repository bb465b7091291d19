"""A trial on the robot: Franka driver, three cameras, recorder, bridge, and RViz for the operator.

ros2 launch vidplan_bringup real_trial.launch.py robot_ip:=172.16.0.2 server:=tcp://GPU:5555 \
    instruction:="put the carrot in the bowl"

Nothing moves: dry_run is true until you say dry_run:=false. The software stop is not an emergency stop.
"""

import time
from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ROLES = ("left", "right", "wrist")
RECORDED = (
    *("/vidplan/status", "/vidplan/plans", "/vidplan/trial_events", "/vidplan/instruction", "/diagnostics"),
    *("/tf", "/tf_static", "/robotiq_gripper_controller/commands"),
)
ARM_NAMES = {
    "joint_trajectory": "arm_controller/joint_trajectory",
    "follow_joint_trajectory": "arm_controller/follow_joint_trajectory",
    "forward_position": "forward_position_controller/commands",
}
"""Where each backend sends to, behind the arm's model; the NUC is reached over the network."""
GRIPPERS = ["robotiq_forward", "robotiq_action", "franka_hand", "droid_nuc", "none"]


def generate_launch_description() -> LaunchDescription:
    """Every argument has a default, so that `--show-args` explains the file; with the defaults nothing moves."""
    share = FindPackageShare("vidplan_bringup")
    flag = ["true", "false"]
    return LaunchDescription(
        [
            DeclareLaunchArgument("robot_ip", default_value="172.16.0.2", description="address of the arm"),
            DeclareLaunchArgument("robot", default_value="fr3", choices=["fr3", "panda"], description="arm model"),
            DeclareLaunchArgument(
                "driver", default_value="true", choices=flag, description="start franka_ros2 here (FR3 only)"
            ),
            DeclareLaunchArgument(
                "backend",
                default_value="joint_trajectory",
                choices=[*ARM_NAMES, "droid_nuc"],
                description="way to the arm",
            ),
            DeclareLaunchArgument(
                "gripper", default_value="robotiq_forward", choices=GRIPPERS, description="way to the gripper"
            ),
            DeclareLaunchArgument(
                "load_gripper", default_value="false", choices=flag, description="the driver starts the Franka Hand too"
            ),
            DeclareLaunchArgument("namespace", default_value="", description="namespace of the driver's topics"),
            DeclareLaunchArgument(
                "cameras",
                default_value="zed",
                choices=["zed", "realsense", "none"],
                description="camera driver to start; none: topics are in params_file",
            ),
            *(
                DeclareLaunchArgument(
                    f"{role}_serial", default_value="0", description=f"serial number of the {role} camera"
                )
                for role in ROLES
            ),
            DeclareLaunchArgument("side_model", default_value="zed2", description="ZED model of left and right"),
            DeclareLaunchArgument("wrist_model", default_value="zedm", description="ZED model at the wrist"),
            DeclareLaunchArgument(
                "server", default_value="tcp://127.0.0.1:5555", description="address of the planner server"
            ),
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([share, "config", "bridge.yaml"]),
                description="settings of the bridge",
            ),
            DeclareLaunchArgument(
                "instruction", default_value="", description="the task; empty: wait for one on /vidplan/instruction"
            ),
            DeclareLaunchArgument(
                "dry_run", default_value="true", choices=flag, description="compute and guard, send no command"
            ),
            DeclareLaunchArgument(
                "autostart",
                default_value="true",
                choices=flag,
                description="the bridge configures and activates itself; false: ros2 lifecycle set /vidplan_bridge ...",
            ),
            DeclareLaunchArgument(
                "realtime_priority",
                default_value="",
                description="1 to 49, 10 is recommended: the bridge goes before other programs; empty: params_file",
            ),
            DeclareLaunchArgument("record", default_value="true", choices=flag, description="record the trial"),
            DeclareLaunchArgument("bag_dir", default_value="trials", description="folder for recordings"),
            DeclareLaunchArgument(
                "operator", default_value="", description="who stands at the robot; part of the recording's name"
            ),
            DeclareLaunchArgument("rviz", default_value="false", choices=flag, description="show cameras and arm"),
            DeclareLaunchArgument(
                "use_sim_time", default_value="false", choices=flag, description="take the time from /clock"
            ),
            OpaqueFunction(function=_trial),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", PathJoinSubstitution([share, "config", "vidplan.rviz"])],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )


def _trial(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Everything whose shape depends on the arguments' values."""
    given = context.launch_configurations
    prefix = "/" + given["namespace"].strip("/") if given["namespace"].strip("/") else ""
    settings = {
        "robot": given["robot"],
        "server": _text(given["server"]),
        "instruction": _text(given["instruction"]),
        "backend": given["backend"],
        "gripper": given["gripper"],
        "driver_namespace": _text(given["namespace"].strip("/")),
        "dry_run": given["dry_run"] == "true",
        "autostart": given["autostart"] == "true",
        "use_sim_time": given["use_sim_time"] == "true",
    }
    if given["realtime_priority"]:
        settings["realtime_priority"] = int(given["realtime_priority"])
    joints, name = f"{prefix}/joint_states", ARM_NAMES.get(given["backend"])
    arm = f"{prefix}/{given['robot']}_{name}" if name else ""
    if prefix:
        settings["joint_topic"] = joints
    if prefix and arm:
        settings["arm_command_topic"] = arm
    entities, topics = _cameras(given, settings)
    if given["driver"] == "true":
        entities += _driver(given, prefix)
    if given["record"] == "true":
        folder = _trial_folder(given)
        settings["record"] = _text(str(folder / "run"))
        bag = ["ros2", "bag", "record", "--storage", "mcap", "--output", str(folder / "bag")]
        what = (
            [*RECORDED, joints, *([arm] if arm else []), *topics] if topics else ["--all"]
        )  # of unknown cameras: everything
        entities.append(ExecuteProcess(cmd=[*bag, *what], output="screen"))
    bridge = Node(
        package="vidplan_bridge", executable="bridge", parameters=[given["params_file"], settings], output="screen"
    )
    ended = EmitEvent(event=Shutdown(reason="the bridge has ended"))
    return [*entities, bridge, RegisterEventHandler(OnProcessExit(target_action=bridge, on_exit=[ended]))]


def _driver(given: dict[str, str], prefix: str) -> list[LaunchDescriptionEntity]:
    """franka_ros2 with its stock joint trajectory controller."""
    if given["robot"] != "fr3":
        raise RuntimeError("franka_ros2 drives the FR3 only: start the Panda's own driver and say driver:=false")
    if not given["backend"].endswith("joint_trajectory"):
        raise RuntimeError(
            f"backend:={given['backend']} has no controller in franka_fr3_moveit_config: start its driver and "
            "controller (or the NUC) yourself and say driver:=false"
        )
    config = PathJoinSubstitution([FindPackageShare("franka_fr3_moveit_config"), "config"])
    arguments = {
        "robot_type": "fr3",
        "robot_ip": given["robot_ip"],
        "namespace": given["namespace"],
        "load_gripper": "true" if given["gripper"] == "franka_hand" else given["load_gripper"],
        "controllers_yaml": PathJoinSubstitution([config, "fr3_ros_controllers.yaml"]),
    }
    spawner = Node(
        package="controller_manager",
        executable="spawner",
        namespace=prefix,
        arguments=["fr3_arm_controller", "--controller-manager-timeout", "30"],
        output="screen",
    )
    return [_include("franka_bringup", "franka.launch.py", arguments), spawner]


def _cameras(given: dict[str, str], settings: dict[str, object]) -> tuple[list[LaunchDescriptionEntity], list[str]]:
    """The chosen cameras' drivers, and the topics to record; RealSense topics also go into the bridge's settings."""
    if given["cameras"] == "none":
        return [], []
    serials = [given[f"{role}_serial"] for role in ROLES]
    if len(set(serials)) < len(ROLES):
        raise RuntimeError(
            "three cameras need three serial numbers, or they are mixed up: left_serial:=... right_serial:=... "
            "wrist_serial:=... (or cameras:=none where their drivers run already)"
        )
    drivers: list[LaunchDescriptionEntity] = []
    topics = []
    for role, serial in zip(ROLES, serials, strict=True):
        if given["cameras"] == "zed":
            model = given["wrist_model" if role == "wrist" else "side_model"]
            names = {"camera_name": f"zed_{role}", "camera_model": model, "serial_number": serial}
            drivers.append(_include("zed_wrapper", "zed_camera.launch.py", {**names, "publish_tf": "false"}))
            topics += [f"/zed_{role}/zed_node/left/color/rect/{kind}" for kind in ("image", "camera_info")]
        else:
            # A serial number of digits alone would become an integer parameter without its underscore.
            names = {"camera_namespace": "realsense", "camera_name": role, "serial_no": f"_{serial}"}
            drivers.append(_include("realsense2_camera", "rs_launch.py", {**names, "enable_depth": "false"}))
            topics += [f"/realsense/{role}/color/{kind}" for kind in ("image_raw", "camera_info")]
    if given["cameras"] == "realsense":
        settings["cameras"] = [f"{role}=/realsense/{role}/color/image_raw" for role in ROLES]
    return drivers, topics


def _text(value: str) -> ParameterValue:
    """A parameter that stays text, whatever it looks like ("5", "no")."""
    return ParameterValue(value, value_type=str)


def _include(package: str, file: str, arguments: dict[str, object]) -> GroupAction:
    """A driver's launch file with these arguments only: ours of the same name (`namespace`) must not reach it."""
    path = PathJoinSubstitution([FindPackageShare(package), "launch", file])
    include = IncludeLaunchDescription(AnyLaunchDescriptionSource(path), launch_arguments=arguments.items())
    return GroupAction([include], forwarding=False)


def _trial_folder(given: dict[str, str]) -> Path:
    """A new folder per trial, named by time and operator."""
    who = "".join(letter if letter.isalnum() else "_" for letter in given["operator"])
    return Path(given["bag_dir"]).expanduser() / "_".join(filter(None, [time.strftime("%Y%m%d_%H%M%S"), who]))
