#!/usr/bin/env bash
# ROS, the workspace, then the environment that has vidplan; then whatever was asked for.
set -eo pipefail
source /opt/ros/jazzy/setup.bash
source /opt/vidplan/ros2_ws/install/setup.bash
export PATH="${VIRTUAL_ENV}/bin:${PATH}"
exec "$@"
