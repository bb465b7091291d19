"""What a replay writes beside the bridge's own record: what was recorded, and the plans that a version made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scipy.spatial.transform import Rotation

from robot_bridge.bags.bag import Bag
from robot_bridge.bags.recorded import COMMANDED_POSE, JOINT_STATE, decode
from robot_bridge.sensing.joint_states import JointReader
from robot_model.franka import franka
from robot_model.kinematics import ArmKinematics
from robot_model.ros_names import CAMERAS, JOINT_STATES


def keep_readable(bag: Bag, instruction: str, out: Path) -> None:
    """The run record of a bag nothing can be planned on: the arm's motion, where that much is there."""
    meta = {"instruction": instruction, "mode": "dry_run", "robot": bag.robot, "spec": None, "cameras": list(CAMERAS)}
    (out / "run.json").write_text(json.dumps(meta, indent=1))
    (out / "events.jsonl").write_text("")
    if bag.robot is None or bag.source(JOINT_STATES).type != JOINT_STATE:
        return
    kinematics, reader = ArmKinematics(franka(bag.robot)), JointReader(bag.robot)
    with (out / "states.jsonl").open("w") as states:
        for message in bag.messages([JOINT_STATES]):
            decoded = decode(message)
            if decoded is None or message.stamp is None:
                continue
            sample = reader.read(message.stamp / 1e9, decoded.name, decoded.position, decoded.velocity)
            if sample is not None:
                pose = [*kinematics.forward_pose(sample.joints), sample.gripper]
                states.write(json.dumps({"t": sample.stamp, "joints": sample.joints.tolist(), "pose": pose}) + "\n")


def keep_operator(bag: Bag, out: Path) -> None:
    """What the operator commanded when the episode was recorded, for the report's curves."""
    with (out / "recorded.jsonl").open("w") as lines:
        for message in bag.messages([COMMANDED_POSE]):
            decoded = decode(message)
            if decoded is None or message.stamp is None or not hasattr(decoded, "pose"):
                continue
            place, turn = decoded.pose.position, decoded.pose.orientation
            angles = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_euler("xyz")
            pose = [place.x, place.y, place.z, *angles, None]
            lines.write(json.dumps({"t": message.stamp / 1e9, "pose": pose}) + "\n")


def report_quietly(out: Path, bag: Bag, notes: list[str]) -> str | None:
    """The report of a replay that was stopped; says where it is, None where there is nothing to report."""
    from robot_bridge.bags.cli import describe
    from robot_bridge.report.make import make_report

    if not (out / "run.json").exists():
        return None
    make_report(out, {"seconds": round(bag.seconds, 3), "notes": notes, "bag": describe(bag)})
    return f"what there is of the run is reported in {out / 'report.html'}"


def model_of(out: Path) -> str:
    """Name and hash of the model that planned, as the planner said."""
    spec: dict[str, Any] = json.loads((out / "run.json").read_text()).get("spec") or {}
    return f"{spec.get('model_name', 'unknown')} ({str(spec.get('model_hash', ''))[:12]})"
