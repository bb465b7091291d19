"""`vidplan policy`: train a small behaviour-cloned policy, and serve it over openpi's protocol."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

DEFAULT_ADDRESS = "ws://127.0.0.1:8000"
DEFAULT_POLICY = Path(__file__).resolve().parents[2] / "models" / "policies" / "cloned" / "policy.safetensors"


def parser() -> argparse.ArgumentParser:
    """Options of `vidplan policy`."""
    options = argparse.ArgumentParser(
        prog="vidplan policy",
        description="The nominal policy whose chunks the planner perturbs: `train` clones one from demonstrations in "
        "uncluttered scenes, `serve` answers over openpi's WebSocket protocol (vidplan serve --policy ws://HOST:PORT).",
    )
    commands = options.add_subparsers(dest="command", required=True)
    serve = commands.add_parser(
        "serve",
        help="answer observations with chunks of joint velocities",
        description="Answer observations with chunks of joint velocities over openpi's protocol. Ctrl-C stops it.",
    )
    serve.add_argument(
        "--policy",
        type=Path,
        default=DEFAULT_POLICY,
        metavar="FILE",
        help="policy.safetensors of a training (default: the shipped one)",
    )
    serve.add_argument(
        "--address", default=DEFAULT_ADDRESS, help="where to listen, port 0 for a free one (default: %(default)s)"
    )
    serve.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    serve.add_argument(
        "--allow-remote",
        action="store_true",
        help="listen where other machines can reach it; the protocol has no keys: whoever reaches it can use it",
    )
    train = commands.add_parser(
        "train",
        help="clone successful picks of carrot and towel",
        description="Clone the successful picks of carrot and towel in a recording of the simulated cell "
        "(docs/policy.md has the commands).",
    )
    train.add_argument("--data", type=Path, required=True, help="recorded episodes (vidplan sim record)")
    train.add_argument("--out", type=Path, required=True, help="work folder; gets policy.safetensors and policy.json")
    train.add_argument(
        "--objects",
        type=int,
        default=3,
        metavar="N",
        help="demonstrations come from scenes with at most N objects beside the bowl (default: %(default)s)",
    )
    budget = train.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=int, default=4000, help="training steps (default: %(default)s)")
    budget.add_argument("--minutes", type=float, help="wall-clock budget instead")
    train.add_argument("--batch", type=int, default=32, help="frames per step (default: %(default)s)")
    train.add_argument("--seed", type=int, default=0, help="seed of every draw (default: %(default)s)")
    train.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    return options


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code: 130 when a training was stopped, 1 when something was wrong."""
    arguments = parser().parse_args(argv)

    from models.errors import ModelsError
    from planner_server.policy.errors import PolicyError

    try:
        return _serve(arguments) if arguments.command == "serve" else _train(arguments)
    except (ModelsError, PolicyError, ValueError) as error:
        print(f"vidplan policy {arguments.command}: {error}", file=sys.stderr)
        return 1


def _serve(arguments: argparse.Namespace) -> int:
    import torch

    from planner_server.policy.cloned import ServedPolicy
    from planner_server.policy.server import PolicyServer

    torch.set_num_threads(max(1, arguments.threads))
    policy = ServedPolicy(arguments.policy)
    server = PolicyServer(policy, arguments.address, arguments.allow_remote)
    for number in (signal.SIGINT, signal.SIGTERM):
        # From a thread: the server waits for its own loop, which this signal interrupts.
        signal.signal(number, lambda *_: threading.Thread(target=server.close).start())
    print(f"policy   {arguments.policy}, {policy.metadata['action_horizon']} actions per answer", flush=True)
    print(f"ready    {server.address} (Ctrl-C stops)", flush=True)
    server.serve_forever()
    print("vidplan policy serve: stopped", flush=True)
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from models.policy import PolicyConfig
    from models.policy_training import train_policy
    from models.training.config import LoopConfig
    from models.training.loop import StoppedError

    steps = None if arguments.minutes is not None else arguments.steps
    loop = LoopConfig(
        batch=arguments.batch,
        rate=1e-3,
        minutes=arguments.minutes,
        steps=steps,
        average=0.005,
        seed=arguments.seed,
        threads=arguments.threads,
        half=False,
    )
    try:
        report = train_policy(arguments.data, arguments.out, loop, arguments.objects, PolicyConfig())
    except StoppedError as stop:
        print(f"vidplan policy train: {stop}", file=sys.stderr)
        return 130
    print(f"{arguments.out / 'policy.safetensors'}: {report['notes']['episodes']} episodes, {report['held_out']}")
    return 0
