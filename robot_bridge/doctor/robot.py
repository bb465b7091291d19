"""The arm: its state comes, it is the arm it is said to be, and its controller listens."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import numpy as np

from robot_bridge.bags.recorded import ROBOTS, recorded_robot
from robot_bridge.doctor.cameras import FUTURE, OLD, clock_advice
from robot_bridge.doctor.check import MISSING, NOTE, OK, SKIPPED, Cell, Check
from robot_bridge.listening.look import Look
from robot_bridge.sensing.joint_states import finger_joints
from robot_model.franka import franka
from robot_model.gripper import KNUCKLE_JOINT

SLOW = 14.0
"""Joint states per second below which the bridge will call them stale."""
LIMIT = 0.02
"""rad by which a URDF's limits may differ from Franka's tables (FR3's drivers round and shrink them)."""


def robot(cell: Cell) -> Iterator[Check]:
    """All checks of this part."""
    look = cell.look
    if look is None:
        yield cell.without_graph("arm")
        return
    yield joints(cell, look)
    yield description(cell, look)
    yield controller(cell, look)


def joints(cell: Cell, look: Look) -> Check:
    """Joint states of the right arm, fast enough, of this clock, inside its limits."""
    topic, arm = cell.config.joint_topic, franka(cell.config.robot)
    heard = look.heard.get(topic)
    if heard is None or heard.last is None:
        others = sorted(name for name, kind in look.topics.items() if kind.endswith("/JointState"))
        advice = f"start the arm's driver, or --joint-topic {others[0] if others else '/TOPIC'}"
        return Check(
            "joint states", MISSING, f"none on {topic}; JointState is on: {', '.join(others) or 'no topic'}", advice
        )
    names, found = list(heard.last.name), f"{heard.rate:.0f} Hz on {topic}"
    if not set(arm.joint_names) <= set(names):
        other = recorded_robot(names)
        advice = f"start everything with --robot {other}" if other else f"the bridge knows {', '.join(ROBOTS)}"
        return Check("joint states", MISSING, f"{found}, but of {', '.join(names[:3])}..", advice)
    if heard.rate < SLOW:
        return Check("joint states", MISSING, found, "raise the joint_state_broadcaster's rate to 30 Hz or more")
    if heard.lag is not None and not FUTURE < heard.lag < OLD:
        return Check(
            "joint states", MISSING, f"{found}, stamped {heard.lag:+.2f} s before receipt", clock_advice(heard.lag)
        )
    at = np.array([heard.last.position[names.index(name)] for name in arm.joint_names])
    outside = [
        n for n, q, low, high in zip(arm.joint_names, at, arm.lower, arm.upper, strict=True) if not low <= q <= high
    ]
    if outside:
        advice = (
            "is it the other arm? Panda and FR3 differ in joint 6; degrees instead of rad? else move it inside in Desk"
        )
        return Check(
            "joint states", MISSING, f"{found}; outside the {cell.config.robot}'s limits: {', '.join(outside)}", advice
        )
    hand = finger_joints(arm.name)[0] if cell.config.gripper == "franka_hand" else KNUCKLE_JOINT
    if hand not in names and cell.config.gripper != "none":
        return Check("joint states", NOTE, f"{found}; no {hand} in the last one", "is the gripper's driver up?")
    return Check("joint states", OK, found)


def description(cell: Cell, look: Look) -> Check:
    """Whether the URDF that the drivers use is of this arm."""
    heard = look.heard.get("/robot_description")
    if heard is None or heard.last is None:
        return Check("URDF", SKIPPED, "no /robot_description")
    arm = franka(cell.config.robot)
    try:
        tree = ElementTree.fromstring(heard.last.data)
    except ElementTree.ParseError as error:
        return Check("URDF", MISSING, f"/robot_description is no XML: {error}", "restart robot_state_publisher")
    limits = {j.get("name", ""): j.find("limit") for j in tree.iter("joint") if j.get("type") == "revolute"}
    if not set(arm.joint_names) <= set(limits):
        other = recorded_robot(limits)
        return Check(
            "URDF", MISSING, f"is of {other or 'no arm known here'}", f"start the driver with a {arm.name}, or --robot"
        )
    wrong = []
    for name, low, high in zip(arm.joint_names, arm.lower, arm.upper, strict=True):
        limit = limits[name]
        given = (limit.get("lower"), limit.get("upper")) if limit is not None else (None, None)
        if None in given or float(given[0] or 0) < low - LIMIT or float(given[1] or 0) > high + LIMIT:
            wrong.append(f"{name} {given[0]} .. {given[1]}, not {low:g} .. {high:g}")
    if wrong:
        advice = f"its names are a {arm.name}'s, its limits are not: mend arm_id of the driver"
        return Check("URDF", MISSING, "; ".join(wrong), advice)
    return Check("URDF", OK, f"of a {arm.name}")


def controller(cell: Cell, look: Look) -> Check:
    """Whether somebody takes the bridge's commands."""
    topic = cell.config.arm_topic
    if cell.config.backend in ("droid_nuc", "follow_joint_trajectory", "dry_run"):
        return Check("controller", SKIPPED, f"backend {cell.config.backend} sends to no topic")
    name = topic.strip("/").split("/")[-2]
    activate = f"ros2 control list_controllers; ros2 control set_controller_state {name} active"
    states = cell.controllers()
    if states is not None and states.get(name) != "active":
        return Check("controller", MISSING, f"{name} is {states.get(name, 'not loaded')}", activate)
    if not look.subscribers.get(topic):
        return Check("controller", MISSING, f"nobody listens to {topic}", activate)
    if states is not None:
        return Check("controller", OK, f"{name} is active")
    return Check(
        "controller", OK, f"somebody listens to {topic}", "whether it is active: ros2 control list_controllers"
    )
