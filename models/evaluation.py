"""`vidplan evaluate`: measure a bundle on held-out episodes."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="vidplan evaluate",
        description="Measure a bundle on held-out episodes: video quality by number of steps, how much it listens to "
        "actions, calibration of its uncertainty, where it sees objects, and its value. Writes OUT/evaluation.json, "
        "OUT/card.md and OUT/imagined.png (real frames above imagined ones).",
    )
    parser.add_argument(
        "--bundle", type=Path, default=Path(__file__).parent / "bundles" / "tabletop", help="its folder"
    )
    parser.add_argument("--data", type=Path, required=True, help="recorded episodes with a `val` split")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--clips", type=int, default=192, help="held-out clips to imagine")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4], help="numbers of flow map steps to compare")
    parser.add_argument("--teacher-steps", type=int, default=20, help="steps of the diffusion model itself")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    options = parser.parse_args(argv)

    import torch

    from models.bundle import load_bundle
    from models.card import figures_as_markdown
    from models.errors import ModelsError
    from models.measure import measure, picture

    torch.set_num_threads(options.threads)
    try:
        bundle = load_bundle(options.bundle)
        results, sample = measure(bundle, options.data, options.clips, tuple(options.steps), options.teacher_steps)
    except ModelsError as error:
        print(f"vidplan evaluate: {error}", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "evaluation.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "card.md").write_text(figures_as_markdown(results))
    picture(sample, options.out / "imagined.png")
    print(json.dumps(results) if options.json else figures_as_markdown(results))
    return 0
