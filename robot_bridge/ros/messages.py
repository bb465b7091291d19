"""The bridge's commands and its health as ROS messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robot_bridge.execution.smoothing import SentMotion
from robot_bridge.ros.diagnostics import Health
from robot_model.gripper import to_radians

NANO = 1_000_000_000


def seconds(stamp: Any) -> float:
    """A builtin_interfaces/Time in seconds."""
    return stamp.sec + stamp.nanosec * 1e-9


def time_message(seconds: float) -> Time:
    """Seconds as a stamp."""
    nanoseconds = round(seconds * NANO)
    return Time(sec=nanoseconds // NANO, nanosec=nanoseconds % NANO)


def diagnostic_message(now: float, robot: str, entries: Sequence[Health]) -> DiagnosticArray:
    """The bridge's health at ``now``; ``robot`` is the hardware's name."""
    array = DiagnosticArray(header=Header(stamp=time_message(now)))
    for entry in entries:
        values = [KeyValue(key=key, value=value) for key, value in entry.values.items()]
        array.status.append(
            DiagnosticStatus(
                level=bytes([entry.level]),
                name=f"vidplan_bridge: {entry.name}",
                message=entry.message,
                hardware_id=robot,
                values=values,
            )
        )
    return array


def trajectory_message(message: SentMotion, joint_names: Sequence[str]) -> JointTrajectory:
    """Positions, velocities and accelerations for a joint trajectory controller, stamped with the time they begin at.

    The first node is where the arm is being commanded already, so the points begin with the second.
    """
    begin = round(float(message.times[0]) * NANO)
    trajectory = JointTrajectory(joint_names=list(joint_names))
    trajectory.header.stamp = time_message(float(message.times[0]))
    nodes = zip(message.times, message.positions, message.velocities, message.accelerations, strict=True)
    for time, q, v, a in list(nodes)[1:]:
        after = round(float(time) * NANO) - begin
        trajectory.points.append(
            JointTrajectoryPoint(
                positions=q.tolist(),
                velocities=v.tolist(),
                accelerations=a.tolist(),
                time_from_start=Duration(sec=after // NANO, nanosec=after % NANO),
            )
        )
    return trajectory


def gripper_message(value: float) -> Float64MultiArray:
    """The knuckle angle for a gripper value (0 open .. 1 closed)."""
    return Float64MultiArray(data=[float(to_radians(value))])
