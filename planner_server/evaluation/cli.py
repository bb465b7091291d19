"""`vidplan evaluate`: one honest report about a bundle."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from planner_server.evaluation.settings import PARTS, Settings
from planner_server.options import DEFAULT_BUNDLE


def parser() -> argparse.ArgumentParser:
    """Options of `vidplan evaluate`."""
    options = argparse.ArgumentParser(
        prog="vidplan evaluate",
        description="Measure a bundle on what it was not trained on: quality and speed of the imagined video, whether "
        "it follows actions, whether it knows where it is wrong, its rewards, whether the planner ranks its candidates "
        "as the simulator does, and how long a plan takes. Writes OUT/report.html and OUT/report.json.",
        epilog="Without --data, held-out and out-of-distribution episodes are recorded first (once, to "
        "data/evaluation). Interrupt it at any time: with the same --out, what is finished is not measured again. "
        "Exit code 1: a part could not be measured; the report says why.",
    )
    options.add_argument(
        "--bundle",
        type=Path,
        default=DEFAULT_BUNDLE,
        metavar="DIR",
        help="folder of the models (default: the shipped one)",
    )
    options.add_argument("--data", type=Path, metavar="DIR", help="recording with a split `val` (default: make one)")
    options.add_argument(
        "--ood",
        type=Path,
        metavar="DIR",
        help="folder with recordings `stranger`, `light`, `camera` of unfamiliar looks (default: make them)",
    )
    options.add_argument("--out", type=Path, metavar="DIR", help="folder of the report (default: runs/evaluation/TIME)")
    options.add_argument("--quick", action="store_true", help="few episodes and states: under ten minutes on two cores")
    options.add_argument(
        "--parts", type=_parts, default=PARTS, metavar="A,B", help=f"only some of: {','.join(PARTS)} (default: all)"
    )
    options.add_argument(
        "--look",
        default="varied",
        help="look of the simulated cells that candidates are ranked in (default: %(default)s)",
    )
    options.add_argument(
        "--states", type=_positive, metavar="N", help="states to rank in (default: 15 with --quick, else 120)"
    )
    options.add_argument("--threads", type=_positive, default=2, metavar="N", help="CPU threads (default: %(default)s)")
    options.add_argument(
        "--workers", type=_positive, default=2, metavar="N", help="simulator processes at a time (default: %(default)s)"
    )
    options.add_argument(
        "--probes",
        type=Path,
        metavar="RUN",
        help="measure C3's probes beside the 30-bin head: work folder of vidplan train probe",
    )
    options.add_argument("--lpips", type=Path, metavar="DIR", help="folder with the published LPIPS weights")
    return options


def main(argv: list[str]) -> int:
    """Measure and report. Returns 0 when every part was measured, 1 otherwise."""
    arguments = parser().parse_args(argv)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait starve the simulators
    import torch

    from models.evaluation import targets_table, write_report
    from planner_server.errors import StartError
    from planner_server.evaluation.evaluate import evaluate
    from planner_server.evaluation.progress import Progress
    from planner_server.service import open_bundle

    torch.set_flush_denormal(True)  # as `vidplan serve` does
    torch.set_num_threads(arguments.threads)
    values = {**vars(arguments), "out": arguments.out or Path("runs/evaluation") / time.strftime("%Y-%m-%d-%H%M%S")}
    settings = Settings(**values)
    try:
        bundle = open_bundle(settings.bundle, "cpu")
    except StartError as error:
        print(f"vidplan evaluate: {error}", file=sys.stderr)
        return 1
    settings.out.mkdir(parents=True, exist_ok=True)
    results, media = evaluate(bundle, settings, Progress(sys.stderr))
    report = write_report(results, media, settings.out)
    print(targets_table(results))
    for part, reason in results.get("failed", {}).items():
        print(f"vidplan evaluate: {part} could not be measured: {reason}", file=sys.stderr)
    print(report)
    return 1 if "failed" in results else 0


def _parts(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"no part '{unknown[0]}'; there are: {', '.join(PARTS)}")
    return names


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from 1 on")
    return int(text)
