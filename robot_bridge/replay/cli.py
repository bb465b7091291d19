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
DIFFERENT = 3
"""Exit code where plans differ from those of another version beyond the tolerance."""
DEFAULT_INSTRUCTION = "put the object in the bowl"
RUN_FILES = ("events.jsonl", "run.json", "summary.json")


def main(argv: list[str]) -> int:
    """Run `vidplan replay`; 0 when plans were made on a sound bag, and are those of before where that was asked."""
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
        "commands are computed, guarded and recorded, never published. Writes summary.json, plans.json, video.mp4 and "
        "report.html. Make a bag of a DROID episode with `vidplan bag from-episode`.",
        epilog="Exit code: 0 when plans were made and the bag is sound; 1 when no plan could be made, or the bag is "
        "damaged (truncated, missing or wrong topics, undecodable or out-of-order messages): what could be read is "
        "reported all the same, and summary.json says what is wrong under 'notes'; 3 when plans differ from those of "
        "--against beyond the tolerance: the first and the worst are named.",
    )
    parser.add_argument("bag", type=Path, help="rosbag2 folder, or an .mcap or .db3 file")
    parser.add_argument("--out", type=Path, required=True, help="folder for the run and its report")
    parser.add_argument(
        "--mapping", type=Path, metavar="FILE", help="what topics and joints are called, see `vidplan bag inspect`"
    )
    parser.add_argument("--server", help="planner to ask, tcp://HOST:PORT (default: start one for this replay)")
    parser.add_argument("--curve-keys", type=Path, metavar="DIR", help="keys for the server, see `vidplan keys`")
    parser.add_argument("--bundle", type=Path, help="models of the self-started planner (default: the shipped ones)")
    parser.add_argument("--instruction", help="task in words (default: the bag's own)")
    parser.add_argument(
        "--fast",
        action="store_true",
        help="as fast as the planner, without ROS, the same questions every time (default: at recorded speed)",
    )
    parser.add_argument(
        "--domain-id", type=int, help="ROS domain to play in (default: a random one, this machine only)"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    compare = parser.add_argument_group("compare two versions of a planner (includes --fast)")
    compare.add_argument(
        "--against",
        metavar="RESULT",
        help="plans.json (or folder) of an earlier replay with --fast, or tcp://HOST:PORT of the older server",
    )
    compare.add_argument(
        "--tolerance", type=float, default=0.001, metavar="M", help="per waypoint (default: %(default)s m)"
    )
    compare.add_argument(
        "--angle-tolerance", type=float, default=0.01, metavar="RAD", help="(default: %(default)s rad)"
    )
    compare.add_argument(
        "--gripper-tolerance", type=float, default=0.05, metavar="G", help="of 0..1 (default: %(default)s)"
    )
    return parser


def _replay(arguments: argparse.Namespace) -> int:
    from robot_bridge.bags.bag import Bag
    from robot_bridge.bags.mapping import load_mapping
    from robot_bridge.replay.plan_diff import comparable, read_result

    arguments.fast |= bool(arguments.against)
    _claim(arguments.out)
    bag = Bag(arguments.bag, load_mapping(arguments.mapping) if arguments.mapping else None)
    for problem in bag.problems:
        print(f"{'problem' if problem.damage else 'note'}: {problem.text}", file=sys.stderr)
    instruction = arguments.instruction or next(iter(bag.instructions()), "") or DEFAULT_INSTRUCTION
    about = {"bag": bag.fingerprint, "instruction": instruction, "fast": arguments.fast}
    before = None
    if arguments.against and "://" not in arguments.against:
        before = read_result(Path(arguments.against))
        comparable(before, about)  # before an hour of planning
    elif arguments.against:
        older = argparse.Namespace(**{**vars(arguments), "server": arguments.against, "out": arguments.out / "against"})
        print(f"first the plans of {arguments.against} ...", file=sys.stderr)
        _claim(older.out)
        _, before = _run(bag, instruction, about, older, None)
    summary, _ = _run(bag, instruction, about, arguments, before)
    _tell(summary, arguments.out, arguments.json)
    if not summary["plans"] or bag.damaged:
        return 1
    return DIFFERENT if before is not None and summary["comparison"]["differing"] else 0


def _run(
    bag: Any, instruction: str, about: dict[str, Any], arguments: argparse.Namespace, before: dict[str, Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plan on a bag with one planner; returns the summary and the result for later comparisons."""
    from robot_bridge.bags.cli import describe
    from robot_bridge.replay.plan_diff import Tolerance, compare, in_words, write_result
    from robot_bridge.replay.record import keep_operator, keep_readable, model_of, report_quietly
    from robot_bridge.report.make import make_report
    from robot_bridge.report.run import load_run

    out: Path = arguments.out
    notes = [problem.text for problem in bag.problems if problem.damage or not arguments.instruction]
    if instruction == DEFAULT_INSTRUCTION and not arguments.instruction:
        notes.append(f"No instruction recorded or given: planned with '{instruction}'.")
    try:
        if bag.plannable:
            notes += _plan(bag, instruction, arguments)
        else:
            print("Nothing can be planned on this bag; reporting what is in it.", file=sys.stderr)
            keep_readable(bag, instruction, out)
    except BaseException as error:
        # Whatever stopped the replay, the run up to there is worth its report.
        notes.append(f"The replay stopped early: {error or type(error).__name__}")
        if said := report_quietly(out, bag, notes):
            print(said, file=sys.stderr)
        raise
    if bag.plannable and not (out / "plans" / "00001.npz").exists():
        notes.append("No plan was made although the topics are there; the events below say what the bridge refused.")
    keep_operator(bag, out)
    result = write_result(out, load_run(out).events, {**about, "model": model_of(out)})
    extra: dict[str, Any] = {"seconds": round(bag.seconds, 3), "notes": notes, "bag": describe(bag)}
    if before is not None:
        tolerance = Tolerance(arguments.tolerance, arguments.angle_tolerance, arguments.gripper_tolerance)
        extra["comparison"] = compare(before, result, tolerance)
        extra["comparison"]["words"] = in_words(extra["comparison"])
        notes += extra["comparison"]["words"]
    return make_report(out, extra), result


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
    from tqdm import tqdm

    from robot_bridge.config import BridgeConfig

    if not arguments.fast:
        from robot_bridge.isolation import isolate

        isolate(arguments.domain_id)
    with _server(arguments) as address:
        config = _config(bag, instruction, address, arguments)
        bar = tqdm(total=round(bag.seconds, 1), desc="footage", unit="s", disable=None, file=sys.stderr)
        with bar:
            notes = (_play_offline if arguments.fast else _play)(bag, config, arguments, bar)
    if config.sync_tolerance > BridgeConfig().sync_tolerance:
        notes.append(f"The cameras' stamps lie up to {bag.spread * 1e3:.0f} ms apart; the replay bears with that.")
    return notes


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


def _config(bag: Any, instruction: str, address: str, arguments: argparse.Namespace) -> Any:
    from robot_bridge.bags.recorded import JOINT_STATE
    from robot_bridge.config import BridgeConfig
    from robot_model.ros_names import CAMERAS, camera_topic

    usual = BridgeConfig()
    topics = [name for name, kind in bag.needed.items() if kind != JOINT_STATE]
    roles = {topic: role for role in CAMERAS for topic in topics if topic.startswith(camera_topic(role))}
    # Cameras that are not synchronised lie further apart than those of a cell are allowed to.
    apart = min(max(usual.sync_tolerance, 1.2 * bag.spread), 0.5)
    return BridgeConfig(
        instruction=instruction,
        server=address,
        curve_keys=str(arguments.curve_keys or ""),
        robot=bag.robot,
        robot_id="replay",
        cameras=tuple(f"{role}={topic}" for topic, role in roles.items()),
        sync_tolerance=apart,
        max_camera_skew=apart,
        use_sim_time=True,
        dry_run=True,
        record=str(arguments.out),
        # Nobody knows the height of a recorded table: many stand below the arm's base.
        table_height=-1.0,
        workspace_lower=(0.15, -0.6, -0.1),
    )


def _play_offline(bag: Any, config: Any, arguments: argparse.Namespace, bar: Any) -> list[str]:
    from robot_bridge.recording import RunRecorder
    from robot_bridge.replay.offline import OfflineReplay

    replay = OfflineReplay(bag, config, RunRecorder(arguments.out, config), instruct=not arguments.instruction)
    replay.play(MEETING, lambda seconds: _advance(bar, seconds, replay.executor.plans))
    return []


def _play(bag: Any, config: Any, arguments: argparse.Namespace, bar: Any) -> list[str]:
    from robot_bridge.errors import BridgeError

    try:
        import rclpy
    except ModuleNotFoundError as error:
        raise BridgeError(f"{error.name} is missing; a replay with --fast needs no ROS.") from error
    from rclpy.context import Context
    from rclpy.signals import SignalHandlerOptions

    from robot_bridge.recording import RunRecorder
    from robot_bridge.replay.player import Player
    from robot_bridge.ros.node import BridgeNode

    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    bridge = player = None
    try:
        bridge = BridgeNode(config, context, RunRecorder(arguments.out, config))
        player = Player(bag, context, instruct=not arguments.instruction)
        bridge.start()
        player.meet(bridge, MEETING)
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


def _tell(summary: dict[str, Any], out: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    refused = ", ".join(f"{count} x {reason}" for reason, count in summary["rejected"].items()) or "none"
    median = "-" if summary["median_plan_ms"] is None else f"{summary['median_plan_ms']:.0f} ms"
    print(
        f"{summary['plans']} plans on {summary['seconds']:.1f} s of footage, {median} each (median); refused: {refused}"
    )
    for line in (summary.get("comparison") or {}).get("words", ()):
        print(line)
    print(f"report: {out / 'report.html'}")
