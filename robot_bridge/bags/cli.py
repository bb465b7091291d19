"""`vidplan bag`: make a recording from a DROID episode, and say what is in a recording."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

NO_TEXT = "put the object in the bowl"
"""Instruction given to episodes without one."""


def main(argv: list[str]) -> int:
    """Run `vidplan bag`; 0 when the bag was written, or inspected and found sound."""
    arguments = _parser().parse_args(argv)
    from robot_bridge.errors import BridgeError

    try:
        return int(arguments.run(arguments))
    except BridgeError as error:
        print(f"vidplan bag: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vidplan bag", description="Make and inspect rosbag2 recordings.")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    make = actions.add_parser(
        "from-episode",
        help="turn a DROID episode into a bag",
        description="Turn an episode of the DROID layout (annotation JSON, three videos, robot state) into a rosbag2 "
        "(MCAP) with the topics a real cell records: three ZED images, camera_info, /joint_states, the instruction.",
    )
    make.add_argument("annotation", type=Path, help="ROOT/annotation/SPLIT/ID.json; videos are found relative to ROOT")
    make.add_argument("--out", type=Path, required=True, help="bag to write: a folder, or one file if it ends in .mcap")
    make.add_argument("--instruction", help="task in words (default: the episode's own text)")
    make.add_argument("--robot", choices=("panda", "fr3"), default="panda", help="joint names (default: %(default)s)")
    make.add_argument("--json", action="store_true", help="print the result as JSON")
    make.set_defaults(run=_from_episode)
    info = actions.add_parser(
        "inspect",
        aliases=["info"],
        help="topics, rates and problems of a bag; propose a mapping file",
        description="Say what is in a bag and what is wrong with it. With --write-mapping it proposes a mapping file "
        "for a bag of other names, and writes the cameras' first pictures beside it.",
    )
    info.add_argument("bag", type=Path, help="rosbag2 folder, or an .mcap or .db3 file")
    info.add_argument("--mapping", type=Path, metavar="FILE", help="what topics and joints are called")
    info.add_argument("--write-mapping", type=Path, metavar="FILE", help="propose one; please look through it")
    info.add_argument("--json", action="store_true", help="print the result as JSON")
    info.set_defaults(run=_inspect)
    return parser


def _from_episode(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from robot_bridge.bags.episode import load_episode
    from robot_bridge.bags.from_episode import write_bag

    episode = load_episode(arguments.annotation, arguments.robot)
    notes = list(episode.notes)
    instruction = arguments.instruction or episode.instruction
    if not instruction:
        instruction = NO_TEXT
        notes.append(f"the episode has no instruction; using '{instruction}' (change it with --instruction)")
    with tqdm(total=episode.frames, desc="frames", unit="", disable=None, file=sys.stderr) as bar:
        count = write_bag(episode, arguments.robot, instruction, arguments.out, bar.update)
    seconds = (episode.frames - 1) * episode.frame_period
    if arguments.json:
        result = {"bag": str(arguments.out), "messages": count, "frames": episode.frames, "seconds": round(seconds, 3)}
        print(json.dumps({**result, "instruction": instruction, "notes": notes}))
        return 0
    for note in notes:
        print(f"note: {note}")
    print(f"{arguments.out}: {episode.frames} frames x 3 views, {seconds:.1f} s, {count} messages, '{instruction}'")
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    from robot_bridge.bags.bag import Bag
    from robot_bridge.bags.mapping import load_mapping

    if arguments.write_mapping:
        return _propose(Bag(arguments.bag), arguments.write_mapping)
    bag = Bag(arguments.bag, load_mapping(arguments.mapping) if arguments.mapping else None)
    if arguments.json:
        print(json.dumps(describe(bag)))
        return int(bag.damaged)
    print(f"{bag.path}: {bag.seconds:.1f} s")
    for topic in sorted(bag.topics.values(), key=lambda topic: topic.name):
        print(f"  {topic.name:<50} {topic.type:<32} {topic.count:>6}  {topic.rate:5.1f} Hz")
    for problem in bag.problems:
        print(f"{'problem' if problem.damage else 'note'}: {problem.text}")
    if not bag.problems:
        print("no problems")
    return int(bag.damaged)


def _propose(bag: Any, target: Path) -> int:
    from robot_bridge.bags.bag import BagError
    from robot_bridge.bags.contact_sheet import contact_sheet, write_sheet
    from robot_bridge.bags.propose import propose

    if target.exists():
        raise BagError(f"{target} exists already; choose another name or remove it.")
    proposal = propose(bag)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(proposal.text, encoding="utf-8")
    picture = write_sheet(target.with_suffix(".png"), contact_sheet(proposal.pictures))
    print(proposal.text)
    print(f"{target}: look through it, above all at what is marked CHECK; the cameras' pictures: {picture}")
    print(f"then: vidplan replay {bag.path} --mapping {target} --out DIR")
    return 0


def describe(bag: Any) -> dict[str, Any]:
    """What is in a `Bag` and what is wrong with it, ready for JSON."""
    topics = {
        name: {"type": topic.type, "count": topic.count, "seconds": round(topic.seconds, 3), "hz": round(topic.rate, 2)}
        for name, topic in sorted(bag.topics.items())
    }
    problems = [{"kind": p.kind, "text": p.text, "damage": p.damage} for p in bag.problems]
    return {"bag": str(bag.path), "seconds": round(bag.seconds, 3), "topics": topics, "problems": problems}
