"""`vidplan uq`: uncertainty of a video model, and what a bundle's planner trusts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from models.bundle_cli import DEFAULT_BUNDLE


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code: 130 after Ctrl-C."""
    options = parser().parse_args(argv)

    from models.errors import ModelsError

    try:
        if options.command == "squbed":
            from models.uncertainty.squbed.command import run
        elif options.command == "probes":
            from models.uncertainty.c3.compare import run
        else:
            from models.uncertainty.c3.choose import run
        return run(options)
    except ModelsError as error:
        print(f"vidplan uq: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("vidplan uq: stopped; the same command goes on with the samples that were kept", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Options of `vidplan uq`."""
    whole = argparse.ArgumentParser(
        prog="vidplan uq",
        description="How sure a video model is: S-QUBED from the outside, C3's probes from the inside.",
    )
    commands = whole.add_subparsers(dest="command", required=True)
    squbed = commands.add_parser(
        "squbed",
        help="aleatoric, epistemic and total uncertainty of prompts, by S-QUBED",
        description="Entropies of refined prompts and of the videos made for each, from von Mises-Fisher fits. Samples "
        "are kept in OUT/samples: stopped, the same command goes on. Everything runs offline unless told otherwise.",
    )
    squbed.add_argument("--prompts", type=Path, required=True, metavar="FILE", help="a prompt or JSON object per line")
    squbed.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of samples and squbed.json")
    squbed.add_argument(
        "--reading",
        choices=("prompts", "planner"),
        default="prompts",
        help="prompts: Z is a refined prompt, V a video, as published; planner: Z is the motion it asks for in the "
        "scene, V what is imagined of it (nothing is kept then, it is quick) (default: prompts)",
    )
    squbed.add_argument(
        "--bundle", type=Path, default=DEFAULT_BUNDLE, metavar="DIR", help="video model (default: the shipped one)"
    )
    squbed.add_argument("--data", type=Path, metavar="DIR", help="recording with the scenes (default: record some)")
    squbed.add_argument("--split", default="val", help="split of the recording (default: %(default)s)")
    squbed.add_argument("--steps", type=_positive, default=1, help="flow map steps of a video (default: %(default)s)")
    squbed.add_argument(
        "--refinements", type=_positive, default=10, metavar="N", help="refined prompts (default: %(default)s)"
    )
    squbed.add_argument(
        "--videos", type=_positive, default=10, metavar="M", help="videos of each (default: %(default)s)"
    )
    squbed.add_argument(
        "--text-dimensions", type=_dimensions, default=8, metavar="N", help="of prompts (default: %(default)s)"
    )
    squbed.add_argument(
        "--video-dimensions", type=_dimensions, default=8, metavar="N", help="of videos (default: %(default)s)"
    )
    squbed.add_argument("--seed", type=int, default=0, help="of prompts and noise (default: %(default)s)")
    squbed.add_argument("--chat-url", metavar="URL", help="refine prompts by a chat endpoint, e.g. http://HOST:8080/v1")
    squbed.add_argument("--chat-model", metavar="NAME", help="the model there")
    squbed.add_argument(
        "--chat-key-variable",
        default="OPENAI_API_KEY",
        metavar="NAME",
        help="variable with its key (default: %(default)s)",
    )
    squbed.add_argument(
        "--texts",
        type=_kind("hashed", "bundle", "sentence"),
        default="hashed",
        metavar="KIND",
        help="text embedder: hashed (objects as concepts), bundle (its own words) or sentence:MODEL (default: hashed)",
    )
    squbed.add_argument(
        "--video-embedder",
        type=_kind("latents", "clip", "s3d"),
        default="latents",
        metavar="KIND",
        help="video embedder: latents (the bundle's), clip:MODEL or s3d (default: latents)",
    )
    squbed.add_argument("--lpips", type=Path, metavar="DIR", help="folder with the published LPIPS weights")
    squbed.add_argument("--threads", type=_positive, default=2, metavar="N", help="CPU threads (default: %(default)s)")
    _add_probe_commands(commands)
    return whole


def _add_probe_commands(commands: argparse._SubParsersAction) -> None:
    probes = commands.add_parser(
        "probes",
        help="C3's probes of a training run beside the 30-bin head, in one table",
        description="Calibration at every eps in and out of distribution, correlation, detection and cost of every "
        "probe in RUN; writes OUT/probes.json, OUT/probes.md, and reliability diagrams and heat maps.",
    )
    probes.add_argument("--run", type=Path, required=True, metavar="DIR", help="work folder of vidplan train probe")
    probes.add_argument("--data", type=Path, required=True, metavar="DIR", help="recording with a split val")
    probes.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    probes.add_argument("--bundle", type=Path, metavar="DIR", help="its bundle (default: RUN/bundle)")
    probes.add_argument(
        "--ood",
        action="append",
        default=[],
        metavar="KIND=DIR",
        help="an unfamiliar recording with a split val; repeat",
    )
    probes.add_argument(
        "--clips", type=_positive, default=256, metavar="N", help="clips of each (default: %(default)s)"
    )
    probes.add_argument("--threads", type=_positive, default=2, metavar="N", help="CPU threads (default: %(default)s)")
    chosen = commands.add_parser(
        "probe",
        help="let planners trust a probe instead of a bundle's 30-bin head, or the head again",
        description="Put a trained probe into a bundle's folder, change the eps it is asked about, or take it out.",
    )
    chosen.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="folder that is changed")
    chosen.add_argument("--run", type=Path, metavar="DIR", help="work folder with the probe named by --stage")
    chosen.add_argument("--stage", metavar="NAME", help="e.g. probe-continuous-bce")
    chosen.add_argument("--eps", type=float, help="share of the error scale beyond which an error counts as doubt")
    chosen.add_argument(
        "--unsure", type=float, metavar="H", help="mean h of every candidate beyond which a plan is uncertain"
    )
    chosen.add_argument("--remove", action="store_true", help="trust the 30-bin head again")


def _kind(*kinds: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.partition(":")[0] not in kinds:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(kinds)}")
        return text

    return parse


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _dimensions(text: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number in 2..1024")
    return int(text)
