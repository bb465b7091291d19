"""`vidplan serve`: start the planner server."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable

from planner_server.config import PlannerConfig
from planner_server.options import REPLICAS, chosen_config, parser

STOPPED = "vidplan serve: stopped"


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


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
