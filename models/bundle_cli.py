"""`vidplan bundle`: explain a bundle, or make one of published weights."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

DEFAULT_BUNDLE = Path(__file__).parent / "bundles" / "tabletop"


def main(argv: list[str]) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(argv)

    from models.errors import ModelsError

    try:
        report = describe(options.bundle) if options.command == "inspect" else _import(options)
    except ModelsError as error:
        print(f"vidplan bundle: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, indent=1) if options.json else as_text(report))
    return 1 if report.get("changed_files") else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vidplan bundle",
        description="Explain a bundle: models, shapes, cameras, hash; or import published weights.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    inspect = commands.add_parser(
        "inspect",
        help="check a bundle, and say what is in it",
        description="Say what is in a bundle: models, shapes, cameras, hash. Exit code 1 when files were changed.",
    )
    inspect.add_argument(
        "bundle", nargs="?", type=Path, default=DEFAULT_BUNDLE, help="its folder (default: the shipped one)"
    )
    inspect.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    fetch = commands.add_parser(
        "import",
        help="make a bundle of published weights (docs/full-size.md)",
        description="Make a bundle of Ctrl-World's published weights, which you downloaded (docs/full-size.md).",
    )
    fetch.add_argument("family", choices=["ctrl-world"])
    fetch.add_argument("--svd", type=Path, required=True, help="folder of stabilityai/stable-video-diffusion-img2vid")
    fetch.add_argument("--clip", type=Path, required=True, help="folder of openai/clip-vit-base-patch32")
    fetch.add_argument("--checkpoint", type=Path, required=True, help="checkpoint-10000.pt of yjguo/Ctrl-World")
    fetch.add_argument("--out", type=Path, required=True, help="folder to make")
    fetch.add_argument("--statistics", type=Path, help="stat.json of the training data (default: DROID's)")
    fetch.add_argument(
        "--relevance",
        type=Path,
        help="folder of CLIP or SigLIP for the semantic reward; a bundle without it cannot plan",
    )
    fetch.add_argument(
        "--views",
        nargs=3,
        default=["left", "right", "wrist"],
        help="view order of training (default: left right wrist)",
    )
    fetch.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def _import(options: argparse.Namespace) -> dict[str, Any]:
    from models.ctrl_world import require_full

    require_full()
    from models.ctrl_world.importer import Sources, import_ctrl_world

    sources = Sources(options.svd, options.clip, options.checkpoint, options.statistics, options.relevance)
    import_ctrl_world(sources, options.out, tuple(options.views))
    return describe(options.out)


def describe(path: Path) -> dict[str, Any]:
    """What is in a bundle, as JSON-ready values; every weight is read, every hash compared."""
    from models.bundle import FAMILY, family_of, load_bundle
    from models.config_io import to_plain
    from models.uncertainty.c3.files import installed_probe

    if family_of(path) != FAMILY:
        from models.ctrl_world import require_full

        require_full()
        from models.ctrl_world.inspection import describe_ctrl_world

        return describe_ctrl_world(path)
    bundle, probe = load_bundle(path), installed_probe(path)
    files = sorted(file for file in path.iterdir() if file.suffix == ".safetensors")
    return {
        "path": str(path),
        "hash": bundle.hash,
        "megabytes": round(sum(file.stat().st_size for file in files) / 1e6, 2),
        "parameters": {name: sum(p.numel() for p in module.parameters()) for name, module in bundle.parts().items()},
        "familiarity": bundle.familiarity is not None,
        "probe": to_plain(probe.config) if probe else None,
        "config": to_plain(bundle.config),
    }


def as_text(report: dict[str, Any]) -> str:
    """The same for people."""
    config = report["config"]
    if "family" in config:
        from models.ctrl_world.inspection import ctrl_world_as_text

        return ctrl_world_as_text(report)
    rows, columns = config["image_size"]
    denoiser = config["denoiser"]
    lines = [
        f"{config['name']}  ({report['path']}, {report['megabytes']} MB)",
        f"  sha256      {report['hash']}",
        f"  robots      {', '.join(config['robots'])}",
        f"  views       {', '.join(config['views'])}, each {columns}x{rows}, stacked in this order",
        f"  history     frames {config['history_offsets']}, one every {config['frame_period']} s",
        f"  horizon     {config['horizon']} frames = {config['horizon'] * config['frame_period']:.1f} s",
        f"  latents     {denoiser['latent_channels']} channels x {denoiser['rows']} x {denoiser['columns']}",
        f"  errors      {config['uncertainty']['bins']} bins over [0, {config['uncertainty']['highest']:.3g}]",
        f"  returns     {config['value']['bins']} bins over [0, 1], gamma {config['gamma']}",
        f"  phrases     {', '.join(config['phrases']) or 'none'}",
        f"  workspace   {config['workspace_lower']} to {config['workspace_upper']} m",
        f"  speed       {config['max_linear_speed']} m/s, {config['max_angular_speed']} rad/s",
    ]
    for camera in config["cameras"]:
        x, y, z = (row[3] for row in camera["transform"][:3])
        where = f"on the {camera['mount']} at ({x:.3f}, {y:.3f}, {z:.3f})"
        lines.append(f"  camera      {camera['name']}: focal {camera['matrix'][0][0]:.1f} px, {where}")
    lines += [f"  {name:<11} {count / 1e6:.2f} M parameters" for name, count in report["parameters"].items()]
    known = "knows strange things and strange light" if report["familiarity"] else "none: nothing counts as strange"
    lines.append(f"  familiarity {known}")
    if probe := report["probe"]:
        lines.append(f"  probe       {probe['variant']}, eps {probe['eps']:g}: judges videos instead of the head")
    return "\n".join(lines)
