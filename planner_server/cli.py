"""`vidplan serve`: start the planner server."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from planner_server.config import COMPILED, LOCAL_PLANNERS, PROPOSERS, PlannerConfig

DEFAULT_BUNDLE = Path(__file__).resolve().parent.parent / "models" / "bundles" / "tabletop"
DEFAULT_ADDRESS = "tcp://127.0.0.1:5555"
POLICY_WAIT = 0.3
REPLICAS = 2
STOPPED = "vidplan serve: stopped"


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


def main(argv: list[str]) -> int:
    """Serve until Ctrl-C or SIGTERM. Returns 0 after a clean stop, 1 when the server could not start or broke."""
    options = parser()
    arguments = options.parse_args(argv)
    if arguments.policy_adapter != options.get_default("policy_adapter") and not arguments.policy:
        options.error("--policy-adapter says how the arm follows a policy: name one with --policy ws://HOST:PORT")
    # From here on: a signal that comes while the models load must end the command as cleanly as later. Not by an
    # exception while torch is imported: its C code swallows some, and fails over them much later.
    _on_signals(_leave)
    try:
        return _serve(arguments)
    except _Stopped:
        print(STOPPED, flush=True)
        # At its end the interpreter would take torch's objects apart one by one, which takes most of the time until a
        # stopped server is gone; frozen ones go with the process.
        gc.disable()
        gc.freeze()
        return 0


def _serve(arguments: argparse.Namespace) -> int:
    # Threads that spin while they wait starve the cell and the bridge on a small machine; read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from models.uncertainty.c3.probe import Probe
    from plan_protocol.errors import AddressError
    from plan_protocol.keys_cli import server_keys
    from plan_protocol.security import check_bind_address
    from plan_protocol.server import PlanServer
    from planner_server.errors import StartError
    from planner_server.nominal import build_nominal
    from planner_server.planner import Planner
    from planner_server.service import build_planner, hurry, measure_latency, open_bundle, openpi_policy, planner_spec

    _on_signals(_stop)
    torch.set_flush_denormal(True)  # numbers too small to matter slow a CPU down
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    config = chosen_config(arguments)
    if arguments.ray or arguments.replicas:
        return _serve_replicas(arguments, config)
    try:
        keys = server_keys(arguments.curve_keys) if arguments.curve_keys else None
        check_bind_address(arguments.address, keys, arguments.allow_remote)  # before the models take their time
        bundle = open_bundle(arguments.bundle, arguments.device, judged=True)
        hurry(bundle, arguments.device, arguments.compile, arguments.gradients == "last")
        policy = None
        if arguments.policy:
            policy = openpi_policy(bundle, arguments.policy, arguments.policy_wait, arguments.policy_adapter)
        if arguments.mode == "nominal":
            planner: Planner = build_nominal(bundle, config, policy)
        else:
            planner = build_planner(bundle, config, arguments.device, policy, arguments.proposers)
        print(f"bundle   {bundle.config.name} ({arguments.bundle}), sha256 {bundle.hash[:12]}", flush=True)
        if isinstance(bundle.uncertainty, Probe):
            probe = bundle.uncertainty.config
            print(f"probe    {probe.variant}, eps {probe.eps:g}: judges videos instead of the head", flush=True)
        latency = measure_latency(planner, bundle)
        how = f"{config.local_planner} x {config.iterations}, " + (
            f"{config.flow_steps}-step flow map" if config.flow_steps else "expected future"
        )
        print(
            f"planner  {latency:.2f} s per plan on {arguments.device}, {torch.get_num_threads()} thread(s), "
            f"{'the policy as it is' if arguments.mode == 'nominal' else how}",
            flush=True,
        )
        spec = planner_spec(bundle, latency)
        server = PlanServer(arguments.address, spec, planner, keys=keys, allow_remote=arguments.allow_remote)
    except (StartError, AddressError) as error:
        print(f"vidplan serve: {error}", file=sys.stderr)
        return 1
    height, width = bundle.config.image_size
    if policy:
        print(f"policy   {arguments.policy}: {policy.note}", flush=True)
    print(f"cameras  {', '.join(bundle.config.views)} at {width}x{height}", flush=True)
    print(f"ready    {server.address} (Ctrl-C stops)", flush=True)
    server.serve_forever()
    return 0


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


def _serve_replicas(arguments: argparse.Namespace, config: PlannerConfig) -> int:
    """The same with the models in other processes; this one only answers robots."""
    from plan_protocol.errors import AddressError
    from plan_protocol.keys_cli import server_keys
    from plan_protocol.server import PlanServer
    from planner_server.errors import StartError
    from planner_server.service import Recipe

    try:
        if not arguments.ray or arguments.mode == "nominal":
            raise StartError("--replicas needs --ray ADDRESS, and something to imagine: not --mode nominal")
        from planner_server.scale_out.on_ray import RayFleet

        keys = server_keys(arguments.curve_keys) if arguments.curve_keys else None
        recipe = Recipe(
            arguments.bundle.resolve(),
            arguments.device,
            config,
            arguments.proposers,
            arguments.policy,
            arguments.policy_wait,
            arguments.threads,
            arguments.compile,
            arguments.gradients == "last",
            arguments.policy_adapter,
        )
        fleet = RayFleet(recipe, arguments.ray, arguments.replicas or REPLICAS)
        _on_signals(_stop)  # Ray has put its own in place
        try:
            spec, count = fleet.spec, len(fleet.links)
            server = PlanServer(
                arguments.address, spec, fleet, keys=keys, allow_remote=arguments.allow_remote, workers=count
            )
            print(f"bundle   {spec.model_name} ({recipe.bundle}), sha256 {spec.model_hash[:12]}", flush=True)
            print(f"planner  {spec.plan_latency:.2f} s per plan, {count} replicas on {arguments.device}", flush=True)
            print(f"ready    {server.address} (Ctrl-C stops)", flush=True)
            server.serve_forever()
        finally:
            fleet.close()
    except (StartError, AddressError) as error:
        print(f"vidplan serve: {error}", file=sys.stderr)
        return 1
    return 0


class _Stopped(BaseException):
    """Raised in the main thread by a signal; not an Exception, so that nothing on the way swallows it."""


def _on_signals(handler: Callable[[int, object], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _leave(number: int, frame: object) -> None:
    """End at once: nothing is open yet."""
    os.write(sys.stdout.fileno(), f"{STOPPED}\n".encode())
    os._exit(0)


def _stop(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise _Stopped


def _positive(text: str) -> int:
    value = _not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 60:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of seconds from 0 to 60")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 0 to 1")
    return value


def _not_negative(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 0 on")
    return int(text)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
