"""`vidplan replay`: plan on a recorded bag through the same bridge node, send nothing, write the report of a run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SERVER_START = 240.0
"""Seconds a self-started server gets to load its models; a 1.5 B parameter bundle needs minutes on a slow disk."""
MEETING = 60.0
DEFAULT_INSTRUCTION = "put the object in the bowl"
RUN_FILES = ("events.jsonl", "run.json", "summary.json")


def main(argv: list[str]) -> int:
    """Run `vidplan replay`; 0 when plans were made on a sound bag, 1 otherwise."""
    arguments = _parser().parse_args(argv)
    from plan_protocol.errors import ProtocolError
    from robot_bridge.errors import BridgeError

    try:
        return _replay(arguments)
    except (BridgeError, ProtocolError) as error:
        print(f"vidplan replay: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidplan replay",
        description="Play a rosbag2 recording of a cell (three cameras, joint states) to the bridge in dry run: "
        "commands are computed, guarded and recorded, never published. Writes summary.json, "
        "video.mp4 and report.html. Make a bag of a DROID episode with `vidplan bag from-episode`.",
        epilog="Exit code: 0 when plans were made and the bag is sound; 1 when no plan could be made, or the bag is "
        "damaged (truncated, missing or wrong topics, undecodable or out-of-order messages): what could be read is "
        "reported all the same, and summary.json says what is wrong under 'notes'.",
    )
    parser.add_argument("bag", type=Path, help="rosbag2 folder, or an .mcap or .db3 file")
    parser.add_argument("--out", type=Path, required=True, help="folder for the run and its report")
    parser.add_argument("--server", help="planner to ask, tcp://HOST:PORT (default: start one for this replay)")
    parser.add_argument("--bundle", type=Path, help="models of the self-started planner (default: the shipped ones)")
    parser.add_argument("--instruction", help="task in words (default: the bag's own)")
    parser.add_argument(
        "--domain-id", type=int, help="ROS domain to play in (default: a random one, this machine only)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


def _replay(arguments: argparse.Namespace) -> int:
    from robot_bridge.bag_cli import describe
    from robot_bridge.bags import Bag
    from robot_bridge.report.make import make_report

    out: Path = arguments.out
    _claim(out)
    bag = Bag(arguments.bag)
    for problem in bag.problems:
        print(f"{'problem' if problem.damage else 'note'}: {problem.text}", file=sys.stderr)
    notes = [problem.text for problem in bag.problems if problem.damage or not arguments.instruction]
    instruction = arguments.instruction or next(iter(bag.instructions()), "")
    if not instruction:
        instruction = DEFAULT_INSTRUCTION
        notes.append(f"No instruction recorded or given: planned with '{instruction}'.")
    try:
        if bag.plannable:
            notes += _plan(bag, instruction, arguments)
        else:
            print("Nothing can be planned on this bag; reporting what is in it.", file=sys.stderr)
            _keep_readable(bag, instruction, out)
    except BaseException as error:
        # Whatever stopped the replay, the run up to there is worth its report.
        notes.append(f"The replay stopped early: {error or type(error).__name__}")
        _report_quietly(out, bag, notes)
        raise
    if bag.plannable and not (out / "plans" / "00001.npz").exists():
        notes.append("No plan was made although the topics are there; the events below say what the bridge refused.")
    _keep_operator(bag, out)
    summary = make_report(out, {"seconds": round(bag.seconds, 3), "notes": notes, "bag": describe(bag)})
    _tell(summary, out, arguments.json)
    return 0 if summary["plans"] and not bag.damaged else 1


def _claim(out: Path) -> None:
    from robot_bridge.errors import BridgeError

    if any((out / name).exists() for name in RUN_FILES):
        raise BridgeError(f"{out} holds a run already; choose another --out or remove it.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BridgeError(f"cannot write to {out}: {error}") from error


def _plan(bag: Any, instruction: str, arguments: argparse.Namespace) -> list[str]:
    """Play the bag to a bridge; returns notes."""
    from robot_bridge.isolation import isolate

    isolate(arguments.domain_id)
    with _server(arguments) as address:
        return _play(bag, instruction, address, arguments)


@contextmanager
def _server(arguments: argparse.Namespace) -> Iterator[str]:
    """Address of the planner: the given one, or one started for this replay and stopped after it."""
    if arguments.server:
        yield arguments.server
        return
    from robot_bridge.children import Child

    options = ["--address", "tcp://127.0.0.1:*", *(["--bundle", str(arguments.bundle)] if arguments.bundle else [])]
    child = Child("serve", options, arguments.out / "logs" / "serve.log")
    try:
        print("starting the planner ...", file=sys.stderr)
        yield child.wait_for(r"^ready\s+(tcp://\S+)", SERVER_START).group(1)
    finally:
        child.stop()


def _play(bag: Any, instruction: str, address: str, arguments: argparse.Namespace) -> list[str]:
    import rclpy
    from rclpy.context import Context
    from rclpy.signals import SignalHandlerOptions
    from tqdm import tqdm

    from robot_bridge.config import BridgeConfig
    from robot_bridge.node import BridgeNode
    from robot_bridge.player import Player
    from robot_bridge.recording import RunRecorder

    config = BridgeConfig(
        instruction=instruction,
        server=address,
        robot=bag.robot,
        robot_id="replay",
        use_sim_time=True,
        dry_run=True,
        record=str(arguments.out),
        # Nobody knows the height of a recorded table: many stand below the arm's base.
        table_height=-1.0,
        workspace_lower=(0.15, -0.6, -0.1),
    )
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    bridge = player = None
    try:
        bridge = BridgeNode(config, context, RunRecorder(arguments.out, config))
        player = Player(bag, context, instruct=not arguments.instruction)
        bridge.start()
        player.meet(bridge, MEETING)
        bar = tqdm(total=round(bag.seconds, 1), desc="footage", unit="s", disable=None, file=sys.stderr)
        with bar:
            player.play(bridge, lambda seconds: _advance(bar, seconds, bridge.executor.plans))
    finally:
        for part in (player, bridge):
            if part is not None:
                part.close()
        rclpy.try_shutdown(context=context)
    if player.undelivered:
        return [f"The bridge took {player.undelivered} messages late or not at all (machine too slow?)."]
    return []


def _advance(bar: Any, seconds: float, plans: int) -> None:
    bar.update(min(round(seconds, 3), max(0.0, bar.total - bar.n)))
    bar.set_postfix(plans=plans, refresh=False)


def _keep_readable(bag: Any, instruction: str, out: Path) -> None:
    """The run record of a bag nothing can be planned on: the arm's motion, where that much is there."""
    from robot_bridge.joint_states import JointReader
    from robot_bridge.recorded import JOINT_STATE, decode
    from robot_model.franka import franka
    from robot_model.kinematics import ArmKinematics
    from robot_model.ros_names import CAMERAS, JOINT_STATES

    meta = {"instruction": instruction, "mode": "dry_run", "robot": bag.robot, "spec": None, "cameras": list(CAMERAS)}
    (out / "run.json").write_text(json.dumps(meta, indent=1))
    (out / "events.jsonl").write_text("")
    if bag.robot is None or bag.topics[JOINT_STATES].type != JOINT_STATE:
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


def _keep_operator(bag: Any, out: Path) -> None:
    """What the operator commanded when the episode was recorded, for the report's curves."""
    from scipy.spatial.transform import Rotation

    from robot_bridge.recorded import COMMANDED_POSE, decode

    with (out / "recorded.jsonl").open("w") as lines:
        for message in bag.messages([COMMANDED_POSE]):
            decoded = decode(message)
            if decoded is None or message.stamp is None:
                continue
            place, turn = decoded.pose.position, decoded.pose.orientation
            angles = Rotation.from_quat([turn.x, turn.y, turn.z, turn.w]).as_euler("xyz")
            pose = [place.x, place.y, place.z, *angles, None]
            lines.write(json.dumps({"t": message.stamp / 1e9, "pose": pose}) + "\n")


def _report_quietly(out: Path, bag: Any, notes: list[str]) -> None:
    from robot_bridge.bag_cli import describe
    from robot_bridge.report.make import make_report

    if (out / "run.json").exists():
        make_report(out, {"seconds": round(bag.seconds, 3), "notes": notes, "bag": describe(bag)})
        print(f"what there is of the run is reported in {out / 'report.html'}", file=sys.stderr)


def _tell(summary: dict[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    refused = ", ".join(f"{count} x {reason}" for reason, count in summary["rejected"].items()) or "none"
    median = "-" if summary["median_plan_ms"] is None else f"{summary['median_plan_ms']:.0f} ms"
    print(
        f"{summary['plans']} plans on {summary['seconds']:.1f} s of footage, {median} each (median); refused: {refused}"
    )
    print(f"report: {out / 'report.html'}")
