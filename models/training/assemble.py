"""Stage ``bundle``: put what the stages left into one bundle folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from models.bundle import BundleConfig, build, save_bundle
from models.training.names import STAGES
from models.training.workshop import Workshop
from models.uncertainty.familiarity import Familiarity, FamiliarityConfig


def assemble(workshop: Workshop) -> Path:
    """Write the bundle of a finished run to ``FOLDER/bundle`` and return that path.

    Raises:
        TrainingError: A stage has not finished.
    """
    preset = workshop.preset
    heads = workshop.report("heads")["notes"]
    reports = {stage: workshop.report(stage) for stage in STAGES if stage in preset.loops}
    config = BundleConfig(
        name=preset.name,
        views=preset.views,
        image_size=preset.image_size,
        history_offsets=preset.history_offsets,
        frame_period=preset.frame_period,
        horizon=preset.horizon,
        cameras=workshop.cameras,
        change_scale=tuple(workshop.report("world-model")["notes"]["change_scale"]),
        robots=preset.robots,
        workspace_lower=preset.workspace_lower,
        workspace_upper=preset.workspace_upper,
        max_tilt=preset.max_tilt,
        gamma=preset.gamma,
        phrases=tuple(workshop.report("semantic")["notes"]["phrases"]),
        edm=preset.edm,
        autoencoder=preset.autoencoder,
        denoiser=preset.denoiser,
        uncertainty=preset.head(heads["error_bins"], heads["error_range"]),
        value=preset.head(heads["return_bins"], 1.0),
        semantic=preset.semantic,
        made_from={
            "frames": len(workshop.training),
            "episodes": len(workshop.training.episodes),
            "stages": {
                stage: {
                    "steps": report["steps"],
                    "seconds": report["seconds"],
                    "batch": report["settings"]["batch"],
                    "seed": report["settings"]["seed"],
                }
                for stage, report in reports.items()
            },
        },
    )
    bundle = build(config)
    workshop.load("autoencoder", bundle.world_model.autoencoder)
    workshop.load("flow-map", bundle.world_model.denoiser)
    workshop.load("semantic", bundle.semantic)
    workshop.report("heads")
    weights = load_file(workshop.folder / "heads.safetensors")
    for name, module in (("uncertainty", bundle.uncertainty), ("value", bundle.value)):
        module.load_state_dict({k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")})
    return save_bundle(replace(bundle, familiarity=_familiarity(workshop)), workshop.folder / "bundle")


def _familiarity(workshop: Workshop) -> Familiarity:
    preset, calibration = workshop.preset, workshop.report("familiarity")["notes"]
    weights = load_file(workshop.folder / "familiarity.safetensors")
    config = FamiliarityConfig.of(preset.semantic, preset.latent_size, len(workshop.training.classes))
    part = Familiarity(config)
    part.load_state_dict({**weights, **{name: torch.tensor(values) for name, values in calibration.items()}})
    return part
