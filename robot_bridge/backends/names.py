"""Names of the ways to a robot, for settings and help texts."""

from __future__ import annotations

ARMS: dict[str, str] = {
    "joint_trajectory": "JointTrajectory messages to a stock JointTrajectoryController",
    "follow_joint_trajectory": "the same controller's FollowJointTrajectory action (needs control_msgs)",
    "forward_position": "joint positions at command_rate to a forward_command_controller (Float64MultiArray)",
    "droid_nuc": "DROID's polymetis NUC over zerorpc; brings the joint states too",
    "sim": "the simulated cell, and nothing that does not run on simulated time",
    "dry_run": "nothing is sent",
}

GRIPPERS: dict[str, str] = {
    "robotiq_forward": "knuckle angle to a forward_command_controller (Float64MultiArray)",
    "robotiq_action": "GripperCommand action (needs control_msgs)",
    "franka_hand": "franka_gripper's move and grasp actions (needs franka_msgs)",
    "droid_nuc": "the gripper of the DROID NUC",
    "sim": "the simulated cell's gripper",
    "none": "no gripper is commanded",
}

RECOVERIES: dict[str, str] = {
    "auto": "franka_ros2 where its messages are installed and commands are sent, else none",
    "franka_ros2": "/vidplan/recover asks franka_ros2 and its controller manager (needs franka_msgs)",
    "none": "the bridge takes no part in it",
}
