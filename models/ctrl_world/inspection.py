"""`vidplan bundle inspect` for the full-size models."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from models.config_io import to_plain
from models.ctrl_world.bundle_config import bundle_hash, changed_files, read_config
from models.errors import BundleError


def describe_ctrl_world(path: Path) -> dict[str, Any]:
    """What is in a bundle, as JSON-ready values; every hash is compared with the one in ``bundle.json``.

    Raises:
        BundleError: ``bundle.json`` or a weight file cannot be read.
    """
    config = read_config(path)
    return {
        "path": str(path),
        "hash": bundle_hash(path),
        "megabytes": round(sum((path / name).stat().st_size for name in config.files if (path / name).is_file()) / 1e6),
        "changed_files": changed_files(path, config),
        "can_plan": config.uncertainty is not None and config.value is not None and (path / "relevance").is_dir(),
        "parameters": {
            file.relative_to(path).as_posix(): _parameters(file) for file in sorted(path.rglob("*.safetensors"))
        },
        "config": to_plain(config),
    }


def ctrl_world_as_text(report: dict[str, Any]) -> str:
    """The same for people."""
    config, world = report["config"], report["config"]["world_model"]
    rows, columns = world["image_size"]
    slots = [world["history_offsets"][slot] for slot in world["history_slots"]]
    frames = len(slots) + 1 + world["horizon"]
    lines = [
        f"{config['name']}  ({report['path']}, {report['megabytes']} MB)",
        f"  sha256      {report['hash']}",
        f"  files       {_files(report)}",
        f"  family      {config['family']}: U-Net {world['unet']['widths']}, heads {world['unet']['heads']}",
        f"  robots      {', '.join(config['robots'])}",
        f"  views       {', '.join(world['views'])}, each {columns}x{rows}, stacked in this order",
        f"  history     frames {world['history_offsets']}, one every {world['frame_period']} s; slots {slots}",
        f"  horizon     {world['horizon']} new frames = {world['horizon'] * world['frame_period']:.1f} s",
        f"  latents     4 channels x {rows // 8 * len(world['views'])} x {columns // 8}, {frames} frames",
        f"  poses       -1 is {_short(world['pose_lower'])}",
        f"              +1 is {_short(world['pose_upper'])}",
        f"  sampler     sigma {world['edm']['sigma_max']} to {world['edm']['sigma_min']}, guidance {world['guidance']}",
        f"  errors      {_bins(config['uncertainty'])}",
        f"  returns     {_bins(config['value'])}",
        f"  cameras     {len(config['cameras']) or 'none calibrated: no tool heat maps'}",
        f"  workspace   {config['workspace_lower']} to {config['workspace_upper']} m",
        f"  speed       {config['max_linear_speed']} m/s, {config['max_angular_speed']} rad/s",
        f"  can plan    {'yes' if report['can_plan'] else 'not yet: it needs both heads and CLIP or SigLIP'}",
    ]
    lines += [f"  {name:<26} {count / 1e6:.1f} M parameters" for name, count in report["parameters"].items()]
    lines += [f"  {key:<26} {value}" for key, value in config["made_from"].items()]
    return "\n".join(lines)


def _parameters(file: Path) -> int:
    try:
        with safe_open(file, "pt") as weights:
            shapes = [weights.get_slice(name).get_shape() for name in weights.keys()]  # noqa: SIM118 (no iterator)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"{file} is not a safetensors file that can be read: {error}") from error
    return sum(math.prod(shape) for shape in shapes)


def _files(report: dict[str, Any]) -> str:
    changed = report["changed_files"]
    return f"NOT as they were written: {', '.join(changed)}" if changed else "as they were written"


def _bins(head: dict[str, Any] | None) -> str:
    return "head not trained" if head is None else f"{head['bins']} bins over [0, {head['highest']:.3g}]"


def _short(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)
