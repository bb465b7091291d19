"""Simulated cell, planner server and bridge under `ros2 launch`: the laptop demo for people who have ROS installed.

ros2 launch vidplan_bringup sim_trial.launch.py instruction:="put the carrot in the bowl"

It runs in a ROS domain of its own on this machine, because its topics are those of a real arm; to look at it:
ROS_DOMAIN_ID=42 rviz2.
"""

import os

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    IncludeLaunchDescription,
    RegisterEventHandler,
    SetEnvironmentVariable,
)
from launch.conditions import IfCondition
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, ThisLaunchFileDir
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare


def generate_launch_description() -> LaunchDescription:
    """Three processes; when the bridge ends, at its duration or by Ctrl-C, the others are stopped."""
    server, robot = LaunchConfiguration("server"), LaunchConfiguration("robot")
    share = FindPackageShare("vidplan_bringup")
    flag = ["true", "false"]
    # Before Iron "this machine only" was a switch.
    humble = os.environ.get("ROS_DISTRO") == "humble"
    local = ("ROS_LOCALHOST_ONLY", "1") if humble else ("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    bridge = Node(
        package="vidplan_bridge",
        executable="bridge",
        parameters=[
            LaunchConfiguration("params_file"),
            {
                "robot": robot,
                "backend": LaunchConfiguration("backend"),
                "gripper": LaunchConfiguration("gripper"),
                "server": ParameterValue(server, value_type=str),
                "instruction": ParameterValue(LaunchConfiguration("instruction"), value_type=str),
                "dry_run": ParameterValue(LaunchConfiguration("dry_run"), value_type=bool),
                "duration": ParameterValue(LaunchConfiguration("duration"), value_type=float),
                "record": ParameterValue(LaunchConfiguration("record"), value_type=str),
                "use_sim_time": True,
            },
        ],
        output="screen",
    )
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "instruction", default_value="put the carrot in the bowl", description="the task in words"
            ),
            DeclareLaunchArgument("seed", default_value="0", description="scene; the same seed gives the same one"),
            DeclareLaunchArgument("robot", default_value="panda", choices=["panda", "fr3"], description="arm model"),
            DeclareLaunchArgument(
                "backend", default_value="sim", choices=["sim", "joint_trajectory"], description="way to the arm"
            ),
            DeclareLaunchArgument(
                "gripper", default_value="sim", choices=["sim", "robotiq_forward", "none"], description="to the gripper"
            ),
            DeclareLaunchArgument(
                "real_time_factor", default_value="1.0", description="the cell's clock against the wall clock"
            ),
            DeclareLaunchArgument("planner", default_value="true", choices=flag, description="start a planner server"),
            DeclareLaunchArgument("server", default_value="tcp://127.0.0.1:5555", description="the planner's address"),
            DeclareLaunchArgument("bundle", default_value="", description="models; empty: the shipped ones"),
            DeclareLaunchArgument("device", default_value="cpu", description="of the planner: cpu, cuda, cuda:1"),
            DeclareLaunchArgument(
                "params_file",
                default_value=PathJoinSubstitution([share, "config", "bridge.yaml"]),
                description="settings of the bridge",
            ),
            DeclareLaunchArgument("dry_run", default_value="false", choices=flag, description="send no command"),
            DeclareLaunchArgument("duration", default_value="0.0", description="seconds of simulated time; 0: no end"),
            DeclareLaunchArgument("record", default_value="", description="folder for the run's record; empty: none"),
            DeclareLaunchArgument("domain", default_value="42", description="ROS domain of this simulation"),
            SetEnvironmentVariable("ROS_DOMAIN_ID", LaunchConfiguration("domain")),
            SetEnvironmentVariable(*local),
            IncludeLaunchDescription(
                AnyLaunchDescriptionSource([ThisLaunchFileDir(), "/planner.launch.py"]),
                launch_arguments={
                    "bundle": LaunchConfiguration("bundle"),
                    "address": server,
                    "device": LaunchConfiguration("device"),
                }.items(),
                condition=IfCondition(LaunchConfiguration("planner")),
            ),
            ExecuteProcess(
                cmd=["vidplan", "sim", "--seed", LaunchConfiguration("seed"), "--robot", robot]
                + ["--real-time-factor", LaunchConfiguration("real_time_factor")],
                output="screen",
            ),
            bridge,
            RegisterEventHandler(
                OnProcessExit(target_action=bridge, on_exit=[EmitEvent(event=Shutdown(reason="the bridge has ended"))])
            ),
        ]
    )
