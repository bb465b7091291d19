"""The planner server under `ros2 launch`. It needs no ROS: on a GPU workstation without one, run `vidplan serve`.

ros2 launch vidplan_bringup planner.launch.py device:=cuda
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction


def generate_launch_description() -> LaunchDescription:
    """One process; the address is this machine's own unless told otherwise."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("bundle", default_value="", description="models; empty: the shipped ones"),
            DeclareLaunchArgument("address", default_value="tcp://127.0.0.1:5555", description="where to listen"),
            DeclareLaunchArgument("device", default_value="cpu", description="cpu, cuda, cuda:1, ..."),
            DeclareLaunchArgument(
                "curve_keys", default_value="", description="folder with keys (vidplan keys); needed for other machines"
            ),
            OpaqueFunction(function=_serve),
        ]
    )


def _serve(context: LaunchContext) -> list[ExecuteProcess]:
    given = context.launch_configurations
    bundle = ["--bundle", given["bundle"]] if given["bundle"] else []
    keys = ["--curve-keys", given["curve_keys"]] if given["curve_keys"] else []
    command = ["vidplan", "serve", "--address", given["address"], "--device", given["device"], *bundle, *keys]
    return [ExecuteProcess(cmd=command, output="screen")]
