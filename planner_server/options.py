"""What `vidplan serve` can be told, and what of it is a constant of the planner. Nothing here loads torch."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from planner_server.config import COMPILED, LOCAL_PLANNERS, PROPOSERS, PlannerConfig

DEFAULT_BUNDLE = Path(__file__).resolve().parent.parent / "models" / "bundles" / "tabletop"
DEFAULT_ADDRESS = "tcp://127.0.0.1:5555"
POLICY_WAIT = 0.3
REPLICAS = 2


def parser() -> argparse.ArgumentParser:
    """Options of `vidplan serve`."""
    config = PlannerConfig()
    options = argparse.ArgumentParser(
        prog="vidplan serve",
        description="Hold the world model, uncertainty head and rewards of a bundle and answer robots' plan requests: "
        "propose chunks of motion, imagine each as video, distrust what the model is unsure of, choose, refine.",
        epilog="Stops cleanly on Ctrl-C. The robot's side is `vidplan bridge --server ADDRESS`.",
    )
    options.add_argument(
        "--bundle",
        type=Path,
        default=DEFAULT_BUNDLE,
        metavar="DIR",
        help="folder with the trained models (default: the shipped one)",
    )
    options.add_argument(
        "--address",
        default=DEFAULT_ADDRESS,
        help="where to listen, tcp://HOST:PORT, PORT * for a free one (default: %(default)s)",
    )
    options.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ... (default: %(default)s)")
    options.add_argument(
        "--compile",
        nargs="?",
        const="kernels",
        choices=COMPILED,
        help="translate the networks with torch.compile, which takes minutes at start-up: fuse kernels (the default "
        "with no word), replay them as CUDA graphs, or search for the fastest kernels, too",
    )
    options.add_argument(
        "--gradients",
        choices=("all", "last"),
        default="all",
        help="refine through all steps of the flow map, or through the last one alone: cheaper where there are several "
        "(default: %(default)s)",
    )
    options.add_argument(
        "--threads", type=_positive, metavar="N", help="CPU threads of the models (default: torch decides)"
    )
    options.add_argument(
        "--steps",
        type=_not_negative,
        default=config.flow_steps,
        metavar="N",
        help="flow map steps per imagination; more is slower, 0 is the expected future (default: %(default)s)",
    )
    options.add_argument(
        "--iterations",
        type=_not_negative,
        default=config.iterations,
        metavar="K",
        help="iterations of the local planner: gradients, or rounds of samples (default: %(default)s)",
    )
    options.add_argument(
        "--local-planner",
        choices=LOCAL_PLANNERS,
        default=config.local_planner,
        help="how the best chunk is refined: by gradient ascent, by samples (cem, mppi), or not at all "
        "(default: %(default)s)",
    )
    options.add_argument(
        "--no-refine", action="store_const", const="none", dest="local_planner", help="the same as --local-planner none"
    )
    options.add_argument(
        "--no-uncertainty", action="store_true", help="ignore what the model is unsure of: w = 1 and nothing explored"
    )
    options.add_argument(
        "--unsure",
        type=_share,
        metavar="H",
        help="mean uncertainty (0 .. 1) of every candidate's future beyond which a plan says that it is uncertain "
        f"(default: {config.unsure:g}; where a probe is trusted that brings its own bound, that)",
    )
    options.add_argument(
        "--unfamiliar",
        type=float,
        default=config.unfamiliar,
        metavar="X",
        help="strangeness of light and cameras (1 is rare in training) beyond which a plan says that it is uncertain; "
        "'inf' never does (default: %(default)g)",
    )
    options.add_argument(
        "--proposers",
        type=lambda text: tuple(name.strip() for name in text.split(",")),
        default=PROPOSERS,
        metavar="A,B",
        help="who proposes chunks: basis (motions along the axes), biased (the policy's chunk or the previous plan's, "
        "perturbed), previous (the previous plan carried on) (default: all)",
    )
    options.add_argument(
        "--candidates",
        type=_not_negative,
        default=config.perturbations,
        metavar="N",
        help="perturbed copies of the policy's chunk, or of the previous plan, beside the motions along the axes "
        "(default: %(default)s)",
    )
    options.add_argument(
        "--policy",
        metavar="ws://HOST:PORT",
        help="propose what a policy behind openpi's protocol would do (`vidplan policy serve`, or a pi0.5-DROID "
        "server); plans go on without it while it is away (default: go on as the previous plan did)",
    )
    options.add_argument(
        "--mode",
        choices=("vidplan", "nominal"),
        default="vidplan",
        help="nominal: do what the policy says, nothing is imagined or refined; the baseline (default: %(default)s)",
    )
    options.add_argument(
        "--policy-wait",
        type=_seconds,
        default=POLICY_WAIT,
        metavar="S",
        help="most seconds that a plan waits for the policy (default: %(default)s)",
    )
    options.add_argument(
        "--policy-adapter",
        default="auto",
        metavar="NAME|FILE",
        help="where the policy's joint velocities take the arm: integrate (exactly), droid (as DROID's controller "
        "follows them), a file of `vidplan train adapter` or Ctrl-World's; auto: what the server says, else droid "
        "(default: auto)",
    )
    options.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="share candidates and robots among replicas of the models on the GPUs and machines of a Ray cluster: its "
        "HOST:PORT, auto for the one on this machine, local to start one; needs vidplan[ray]",
    )
    options.add_argument(
        "--replicas",
        type=_positive,
        metavar="N",
        help=f"replicas, with --ray; each has a GPU or its --threads (default: {REPLICAS})",
    )
    options.add_argument(
        "--curve-keys",
        type=Path,
        metavar="DIR",
        help="the server's folder of `vidplan keys`: other machines may connect, encrypted, if their key is in there",
    )
    options.add_argument(
        "--allow-remote",
        action="store_true",
        help="listen where other machines can reach it, WITHOUT encryption: whoever reaches it can use the planner",
    )
    return options


def chosen_config(arguments: argparse.Namespace) -> PlannerConfig:
    """The planner's constants, with what the command line and a probe in the bundle's folder say of them."""
    from models.uncertainty.c3.files import installed_bound

    config = PlannerConfig(
        flow_steps=arguments.steps,
        local_planner=arguments.local_planner,
        iterations=arguments.iterations,
        perturbations=arguments.candidates,
        unfamiliar=arguments.unfamiliar,
    )
    bound = installed_bound(arguments.bundle) if arguments.unsure is None else arguments.unsure
    if bound is not None:
        config = replace(config, unsure=bound)
    return config.without_uncertainty() if arguments.no_uncertainty else config


def _positive(text: str) -> int:
    value = _not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _not_negative(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 on")
    return int(text)


def _seconds(text: str) -> float:
    return _between(text, 60, "number of seconds")


def _share(text: str) -> float:
    return _between(text, 1, "number")


def _between(text: str, highest: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= highest:
        raise argparse.ArgumentTypeError(f"'{text}' is no {what} from 0 to {highest:g}")
    return value
