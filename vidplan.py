"""The `vidplan` command: one dispatcher; every subcommand lives next to what it runs."""

from __future__ import annotations

import difflib
import importlib
import os
import signal
import sys

# Subcommand -> (module with main(argv) -> exit code, one line of help). Imported only when chosen, so that the bridge
# never loads torch and `vidplan --help` needs none of the extras.
SUBCOMMANDS = {
    "demo": ("robot_bridge.demo", "Simulated cell + planner + bridge: watch a robot imagine, choose and act"),
    "replay": ("robot_bridge.replay.cli", "Plan on a recorded bag, commands computed and guarded but never sent"),
    "serve": ("planner_server.cli", "Start the planner server (world model, uncertainty, rewards)"),
    "bridge": ("robot_bridge.cli", "Start the ROS 2 node between the robot and the planner server"),
    "sim": ("sim_cell.cli", "Start the simulated DROID cell as a ROS 2 node, or record episodes from it"),
    "bag": ("robot_bridge.bags.cli", "Make and inspect rosbag2 recordings"),
    "train": ("models.training.cli", "Train the models of a bundle from recorded episodes"),
    "finetune": ("models.real.cli", "Train parts on real footage, and compare held-out figures before and after"),
    "policy": ("planner_server.policy.cli", "Train a small policy, or serve one over openpi's protocol"),
    "evaluate": ("planner_server.evaluation.cli", "Measure a bundle: video, control, uncertainty, rewards, ranking"),
    "uq": (
        "models.uncertainty.uq_cli",
        "Say how sure a video model is (S-QUBED, C3's probes); choose what planners trust",
    ),
    "trial": ("robot_bridge.trials.trial_cli", "Walk an operator through labelled trials, blinded A/B if wanted"),
    "trials": ("robot_bridge.experiment.cli", "Run closed-loop trials of several methods in the simulated cell"),
    "report": ("robot_bridge.trials.report", "Report on a store of trials: success, significance, latencies, failures"),
    "bundle": ("models.bundle_cli", "Explain a bundle: models, shapes, cameras, hashes; import Ctrl-World as one"),
    "distill": ("models.ctrl_world.cli", "Make an imported Ctrl-World fit for planning: flow map and heads"),
    "keys": ("plan_protocol.keys_cli", "Make keys, so that server and robots may talk over a network"),
    "status": ("plan_protocol.status_cli", "Ask a planner server how it is"),
    "doctor": ("robot_bridge.doctor.cli", "Check machine and cell: what works, what is missing, what to do"),
}


def usage() -> str:
    """Text of `vidplan --help`."""
    lines = ["usage: vidplan COMMAND [options]      (vidplan COMMAND --help explains each)", ""]
    lines += [f"  {name:<9} {text}" for name, (_, text) in SUBCOMMANDS.items()]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code: 0 on success only."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    if name not in SUBCOMMANDS:
        meant = difflib.get_close_matches(name, SUBCOMMANDS, 1)
        hint = f" Did you mean '{meant[0]}'?" if meant else ""
        print(f"vidplan: no command '{name}'.{hint}\n\n{usage()}", file=sys.stderr)
        return 2
    try:
        module = importlib.import_module(SUBCOMMANDS[name][0])
        code = module.main(rest)
        sys.stdout.flush()
        return code
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("models", "robot_bridge", "planner_server", "sim_cell"):
            raise
        print(
            f"vidplan {name}: the Python package '{error.name}' is missing. Run `make install` in the checkout, or see "
            "`vidplan doctor` for what each part needs.",
            file=sys.stderr,
        )
        return 1
    except BrokenPipeError:  # as of `vidplan bundle inspect DIR | head`: nobody wants the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
