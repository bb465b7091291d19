"""ROS itself: installed, not mixed, and its programs find each other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from robot_bridge.doctor.check import MISSING, NOTE, OK, SKIPPED, Cell, Check, last_line, python_says


def ros(cell: Cell) -> Iterator[Check]:
    """All checks of this part."""
    installed = rclpy()
    yield installed
    yield mixture()
    if installed.state == OK:
        yield discovered()
        yield graph(cell)


def rclpy() -> Check:
    """Import rclpy and make a context, in a process of its own: a broken installation may crash."""
    code = (
        "import rclpy, os; from rclpy.context import Context; c = Context(); rclpy.init(context=c); "
        "print(rclpy.get_rmw_implementation_identifier(), rclpy.__file__); rclpy.shutdown(context=c)"
    )
    done = python_says(code)
    if done.returncode == 0:
        return Check("ROS 2", OK, done.stdout.strip())
    if "No module named 'rclpy'" in done.stderr:
        advice = "source a ROS 2 installation (source /opt/ros/jazzy/setup.bash), or make install for the wheels"
        return Check("ROS 2", MISSING, "no rclpy", advice)
    return Check("ROS 2", MISSING, last_line(done.stderr), "see 'ROS mixture' below; else make clean && make install")


def mixture() -> Check:
    """Wheels and an installed ROS must not meet in one environment: their libraries are of different builds."""
    try:
        wheels = metadata.version("ros-jazzy-rclpy")
    except metadata.PackageNotFoundError:
        wheels = None
    sourced = os.environ.get("ROS_DISTRO") or ""
    installed = sorted(path.name for path in Path("/opt/ros").glob("*")) if Path("/opt/ros").is_dir() else []
    found = f"wheels {wheels or 'no'}, sourced {sourced or 'no'}, installed {', '.join(installed) or 'none'}"
    if wheels and sourced:
        advice = "open a shell without 'source /opt/ros/...', or rebuild .venv in this one: make clean && make install"
        return Check("ROS mixture", MISSING, found, advice)
    if not wheels and not sourced and installed:
        return Check("ROS mixture", NOTE, found, f"source /opt/ros/{installed[-1]}/setup.bash before using the bridge")
    return Check("ROS mixture", OK, found)


def discovered() -> Check:
    """Whether two programs of this machine find each other through DDS."""
    from robot_bridge.listening.ros_edge import discovery

    seconds, where = discovery(), f"domain {os.environ.get('ROS_DOMAIN_ID', '0')}"
    if seconds is None:
        advice = "let UDP and multicast through: sudo ufw allow in proto udp; ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET"
        return Check("DDS discovery", MISSING, f"two programs here do not find each other, {where}", advice)
    return Check("DDS discovery", OK, f"{seconds:.2f} s, {where}")


def graph(cell: Cell) -> Check:
    """Whether anybody else is there."""
    look = cell.look
    if look is None:
        where = f"no ROS graph found in domain {os.environ.get('ROS_DOMAIN_ID', '0')}"
        return Check("ROS graph", SKIPPED, where, "start drivers or `vidplan sim`; compare ROS_DOMAIN_ID on both sides")
    return Check("ROS graph", OK, f"{len(look.topics)} topics")
