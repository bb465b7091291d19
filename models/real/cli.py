"""`vidplan finetune`: train on real footage, and say what it changed on held-out episodes."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.training.config import LoopConfig

BUNDLE = Path(__file__).parents[1] / "bundles" / "tabletop"
AUTOENCODER_SHARE = 1 / 3
"""Of the minutes of `pixels`; the rest is for the world model."""


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(argv)

    from models.errors import ModelsError

    try:
        report = (_latents if options.kind == "latents" else _pixels)(options)
    except ModelsError as error:
        print(f"vidplan finetune: {error}", file=sys.stderr)
        return 1
    file = options.out / f"{options.kind}-report.json"
    file.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report) if options.json else f"{_table(options.kind, report)}\n\nwritten to {file}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidplan finetune",
        description="Train on real footage (a folder of DROID episodes) and compare held-out figures before and after. "
        "`latents`: a small diffusion model on precomputed Stable Video Diffusion latents, from scratch or on from "
        "--init. `pixels`: the autoencoder and the diffusion model of a bundle on the videos. Interrupted runs go on "
        "where they stopped.",
    )
    parser.add_argument("kind", choices=["latents", "pixels"], help="what to train, see above")
    parser.add_argument("--data", type=Path, required=True, help="episodes; nothing is written there")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, caches and OUT/KIND-report.json")
    parser.add_argument(
        "--init",
        type=Path,
        help="weights to go on from: latent-denoiser.safetensors (default: none), or for pixels a bundle (default: the "
        "shipped one)",
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, default=5.0, help="wall-clock budget (default: 5)")
    budget.add_argument("--steps", type=int, help="steps of each stage instead: exactly reproducible")
    parser.add_argument("--batch", type=int, default=16, help="clips per step (default: 16)")
    parser.add_argument("--seed", type=int, default=0, help="seed of every draw (default: 0)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    parser.add_argument("--details", action="store_true", help="name every skipped episode, with the reason")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")
    return parser


def _latents(options: argparse.Namespace) -> dict[str, Any]:
    from models.real.latent_stage import LatentStage
    from models.training.loop import train

    config = _loop(options, rate=1e-3, share=1.0)
    stage = LatentStage(options.data, options.seed, options.init)
    splits = {"train": stage.training, "val": stage.held_out}
    _say(options, splits)
    before = stage.figures(stage.held_out_clips) if options.init else None
    trained = train(stage, config, options.out)
    return {
        "data": {name: split.summary() for name, split in splits.items()},
        "init": str(options.init) if options.init else None,
        "history blend": stage.baseline(),
        "before": before,
        "after": trained["held_out"]["val"],
        "after, training clips": trained["held_out"]["train"],
        "stages": {stage.name: trained},
    }


def _pixels(options: argparse.Namespace) -> dict[str, Any]:
    from models.bundle import load_bundle
    from models.real.pixel_figures import pixel_figures, reconstruction_psnr
    from models.real.pixel_stages import AutoencoderStage, PixelData, WorldModelStage
    from models.training.loop import train

    bundle = load_bundle(options.init or BUNDLE)
    data = PixelData(options.data, bundle, options.out / "cache")
    splits = {"train": data.training, "val": data.held_out}
    _say(options, splits)
    before = pixel_figures(bundle, data.held_out, data.clips(data.held_out))
    reconstruction = {"before": reconstruction_psnr(bundle, data.held_out)}
    encoded = train(AutoencoderStage(data), _loop(options, rate=3e-4, share=AUTOENCODER_SHARE), options.out)
    reconstruction["after"] = encoded["held_out"]["psnr"]
    halfway = pixel_figures(bundle, data.held_out, data.clips(data.held_out))
    trained = train(WorldModelStage(data), _loop(options, rate=3e-4, share=1 - AUTOENCODER_SHARE), options.out)
    return {
        "data": {name: split.summary() for name, split in splits.items()},
        "init": f"{bundle.config.name} ({bundle.hash[:12]})",
        "reconstruction_psnr": reconstruction,
        "before": before,
        "new autoencoder only": halfway,
        "after": trained["held_out"]["val"],
        "after, training clips": trained["held_out"]["train"],
        "stages": {"real-autoencoder": encoded, "real-world-model": trained},
    }


def _loop(options: argparse.Namespace, rate: float, share: float) -> LoopConfig:
    from models.training.config import LoopConfig

    minutes = None if options.steps is not None else options.minutes * share
    return LoopConfig(
        batch=options.batch,
        rate=rate,
        minutes=minutes,
        steps=options.steps,
        average=0.01,
        seed=options.seed,
        threads=options.threads,
    )


def _say(options: argparse.Namespace, splits: dict[str, Any]) -> None:
    for split in splits.values():
        print(split.summary(options.details), file=sys.stderr)


def _table(kind: str, report: dict[str, Any]) -> str:
    from models.real.held_out import as_table

    rows = {
        "relative_error": "latent error / repeating the frame",
        "relative_error_per_frame": "the same",
        "swapped_error_ratio": "error with swapped actions / true ones",
    }
    if kind == "pixels":
        rows |= {
            "psnr": "PSNR, dB",
            "repeat_psnr": "PSNR of repeating the frame",
            "bound_psnr": "PSNR of the autoencoder alone",
            "psnr_changed": "PSNR on changed pixels, dB",
            "repeat_psnr_changed": "the same of repeating the frame",
        }
    columns = ("history blend", "before", "new autoencoder only", "after", "after, training clips")
    return as_table({name: report.get(name) for name in columns}, rows)
