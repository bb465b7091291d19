"""Simulated cell, planner server and bridge under `ros2 launch`: the laptop demo for people who have ROS installed.

ros2 launch launch/sim_trial.launch.py instruction:="put the carrot in the bowl" bundle:=models/bundles/tabletop
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch.substitutions import LaunchConfiguration


def generate_launch_description() -> LaunchDescription:
    """Three processes, each a `vidplan` subcommand; Ctrl-C stops them all."""
    server = LaunchConfiguration("server")
    return LaunchDescription(
        [
            DeclareLaunchArgument("instruction", default_value="put the carrot in the bowl"),
            DeclareLaunchArgument("bundle", default_value="models/bundles/tabletop"),
            DeclareLaunchArgument("server", default_value="tcp://127.0.0.1:5555"),
            DeclareLaunchArgument("seed", default_value="0"),
            ExecuteProcess(
                cmd=["vidplan", "serve", "--bundle", LaunchConfiguration("bundle"), "--address", server],
                output="screen",
            ),
            ExecuteProcess(cmd=["vidplan", "sim", "--seed", LaunchConfiguration("seed")], output="screen"),
            ExecuteProcess(
                cmd=["vidplan", "bridge", "--use-sim-time", "--server", server, "--instruction"]
                + [LaunchConfiguration("instruction")],
                output="screen",
            ),
        ]
    )
