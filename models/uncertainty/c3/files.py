"""Probes on disk: as training left them, and beside a bundle, where a planner finds the one it shall trust.

A bundle folder with ``probe.json`` and ``probe.safetensors`` is judged by that probe instead of its 30-bin head.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from models.bundle import Bundle, BundleConfig, load_bundle
from models.config_io import from_plain, to_plain
from models.errors import BundleError, TrainingError
from models.uncertainty.c3.features import FeaturedVideoModel
from models.uncertainty.c3.probe import Probe, ProbeConfig
from models.uncertainty.c3.variants import make_probe

CONFIG, WEIGHTS = "probe.json", "probe.safetensors"


@dataclass(frozen=True)
class Trained:
    """What a probe's stage left.

    Attributes:
        probe: The probe, ready for inference.
        denoiser: Weights of the flow map that trained with it end to end; None for a detached probe.
    """

    probe: Probe
    denoiser: dict[str, Tensor] | None


def load_trained(folder: Path, stage: str) -> Trained:
    """The probe of a finished stage in a training run's folder.

    Raises:
        TrainingError: It has not finished there.
    """
    report, weights = folder / f"{stage}.json", folder / f"{stage}.safetensors"
    if not report.is_file() or not weights.is_file():
        others = ", ".join(_finished(folder)) or "none"
        raise TrainingError(
            f"{weights} is missing: run `vidplan train probe` with --out {folder} first (finished there: {others})"
        )
    config = from_plain(ProbeConfig, json.loads(report.read_text())["notes"]["probe"], str(report))
    parts: dict[str, dict[str, Tensor]] = {"probe": {}, "denoiser": {}}
    for name, value in load_file(weights).items():
        part, _, key = name.partition(".")
        parts[part][key] = value
    probe = _filled(make_probe(config), parts["probe"], weights)
    return Trained(probe, parts["denoiser"] or None)


def trained_probes(folder: Path) -> dict[str, Trained]:
    """Every finished probe of a training run, by stage.

    Raises:
        TrainingError: There is none.
    """
    stages = _finished(folder)
    if not stages:
        raise TrainingError(f"{folder} has no probes: run `vidplan train probe --out {folder} ...` first")
    return {stage: load_trained(folder, stage) for stage in stages}


def _finished(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("probe-*.safetensors"))


def install_probe(probe: Probe, bundle: Path) -> None:
    """Put a probe into a bundle's folder (in half precision): planners that load it then trust the probe."""
    weights = {name: value.half().contiguous() for name, value in probe.state_dict().items()}
    save_file(weights, bundle / WEIGHTS)
    (bundle / CONFIG).write_text(json.dumps(to_plain(probe.config), indent=1) + "\n")


def remove_probe(bundle: Path) -> None:
    """Let planners trust the 30-bin head again."""
    (bundle / CONFIG).unlink(missing_ok=True)
    (bundle / WEIGHTS).unlink(missing_ok=True)


def installed_probe(bundle: Path) -> Probe | None:
    """The probe in a bundle's folder, or None.

    Raises:
        BundleError: Its files are damaged.
    """
    if not (bundle / CONFIG).is_file():
        return None
    try:
        config = from_plain(ProbeConfig, json.loads((bundle / CONFIG).read_text()), str(bundle / CONFIG))
        weights = {name: value.float() for name, value in load_file(bundle / WEIGHTS).items()}
    except FileNotFoundError as error:
        raise BundleError(f"{bundle / WEIGHTS} is missing, which {CONFIG} beside it speaks of") from error
    except Exception as error:
        raise BundleError(
            f"the probe in {bundle} is damaged: {error}; `vidplan uq probe --remove` takes it out"
        ) from error
    return _filled(make_probe(config), weights, bundle / WEIGHTS)


def installed_bound(bundle: Path) -> float | None:
    """Mean h beyond which planners shall call a video uncertain, where the probe in a bundle's folder says so.

    None for a damaged probe, too: what is wrong with it is said where the probe itself is loaded.
    """
    try:
        bound = json.loads((bundle / CONFIG).read_text()).get("unsure")
    except (OSError, ValueError, AttributeError):
        return None
    return bound if isinstance(bound, float) else None


def load_judged_bundle(path: str | Path, device: str = "cpu") -> Bundle:
    """`load_bundle` for planners: with the probe in the bundle's folder as its uncertainty model, where there is one.

    Raises:
        BundleError: Bundle or probe cannot be loaded, or do not fit.
    """
    bundle, probe = load_bundle(path, device), installed_probe(Path(path))
    return bundle if probe is None else with_probe(bundle, probe.to(device))


def with_probe(bundle: Bundle, probe: Probe) -> Bundle:
    """A bundle whose world model keeps its features and whose uncertainty model is a probe.

    Raises:
        BundleError: The probe was trained for another video model or error scale.
    """
    require_fit(bundle.config, probe.config)
    digest = hashlib.sha256(f"{bundle.hash} {to_plain(probe.config)}".encode())
    for value in probe.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    changes: dict[str, Any] = {"world_model": FeaturedVideoModel.of(bundle), "uncertainty": probe}
    return dataclasses.replace(bundle, **changes, hash=digest.hexdigest())


def require_fit(bundle: BundleConfig, probe: ProbeConfig) -> None:
    """Refuse a probe that was trained for a video model of other sizes or for another error scale.

    Raises:
        BundleError: What differs.
    """
    denoiser = bundle.denoiser
    wanted = {
        "features": denoiser.widths[0],
        "latent_channels": denoiser.latent_channels,
        "rows": denoiser.rows,
        "columns": denoiser.columns,
        "views": len(bundle.views),
        "horizon": bundle.horizon,
        "scale": bundle.uncertainty.highest,
    }
    found = {name: getattr(probe, name) for name in wanted}
    if differences := [
        f"{name} {found[name]} instead of {wanted[name]}" for name in wanted if found[name] != wanted[name]
    ]:
        raise BundleError(f"the probe does not fit the bundle {bundle.name}: {', '.join(differences)}")


def _filled(probe: Probe, weights: dict[str, Tensor], file: Path) -> Probe:
    try:
        probe.load_state_dict(weights)
    except RuntimeError as error:
        raise BundleError(f"{file} does not fit its configuration: {error}") from error
    return probe.eval().requires_grad_(False)
