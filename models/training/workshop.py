"""Where a training run lives: its data, its folder, its preset, and the parts earlier stages left there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from models.autoencoder import Autoencoder
from models.cameras import Camera
from models.data import Dataset
from models.denoiser import FramesAsChannelsUNet
from models.errors import TrainingError
from models.semantic import SemanticHead
from models.training.clips import Clips
from models.training.config import Preset
from models.training.latents import open_latents
from models.video_model import VideoModel


@dataclass(frozen=True)
class Workshop:
    """One training run.

    Attributes:
        data: Dataset folder.
        folder: Work folder.
        preset: Sizes and settings.
    """

    data: Path
    folder: Path
    preset: Preset

    @cached_property
    def training(self) -> Dataset:
        """The training split."""
        return self._dataset("train")

    @cached_property
    def held_out(self) -> Dataset:
        """The held-out split."""
        return self._dataset("val")

    def require_labels(self, what: str) -> None:
        """Refuse data that cannot train the ``what`` of a bundle.

        Raises:
            TrainingError: The recordings have no labels.
        """
        if not self.training.classes:
            raise TrainingError(
                f"{self.data} has no labels/classes.json: the {what} needs labelled data, as `vidplan sim record` "
                "makes it (docs/training.md says what other recordings can train)"
            )

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """Cameras of the training data.

        Raises:
            TrainingError: The data is not calibrated.
        """
        cameras = self.training.cameras
        if cameras is None:
            raise TrainingError(
                f"{self.data} has no calibrated cameras; the tabletop models need a simulated recording"
            )
        return cameras

    @property
    def latents(self) -> Path:
        """Folder of the encoded frames."""
        return self.folder / "latents"

    def clips(self, data: Dataset) -> Clips:
        """Clips of the encoded frames of a split."""
        latents = open_latents(self.autoencoder(), data, self.latents)
        return Clips(data, latents, self.preset.history_offsets, self.preset.horizon)

    def weights_hash(self, stage: str) -> str:
        """SHA-256 of the weights a stage left."""
        self.report(stage)
        return hashlib.sha256((self.folder / f"{stage}.safetensors").read_bytes()).hexdigest()

    def report(self, stage: str) -> dict[str, Any]:
        """What a finished stage wrote.

        Raises:
            TrainingError: It has not finished here.
        """
        file = self.folder / f"{stage}.json"
        if not file.is_file():
            raise TrainingError(
                f"{file} is missing: run `vidplan train {stage} --data {self.data} --out {self.folder}` first"
            )
        return json.loads(file.read_text())

    def load(self, stage: str, module: nn.Module, prefix: str = "") -> nn.Module:
        """Put the weights a stage left into ``module`` and freeze it.

        Raises:
            TrainingError: The stage has not finished, or made another size.
        """
        self.report(stage)
        weights = load_file(self.folder / f"{stage}.safetensors")
        if prefix:
            weights = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(weights)
        except RuntimeError as error:
            raise TrainingError(
                f"{self.folder / stage}.safetensors was trained with another preset: {error}"
            ) from error
        return module.eval().requires_grad_(False)

    def autoencoder(self) -> Autoencoder:
        """The trained autoencoder."""
        module = Autoencoder(self.preset.autoencoder)
        self.load("autoencoder", module)
        return module

    def semantic(self) -> SemanticHead:
        """The trained semantic reward."""
        module = SemanticHead(self.preset.semantic)
        self.load("semantic", module)
        return module

    def video_model(self, stage: str) -> VideoModel:
        """The video model with the denoiser of ``world-model`` (diffusion) or ``flow-map``."""
        denoiser = FramesAsChannelsUNet(self.preset.denoiser)
        self.load(stage, denoiser)
        return self.wrap(denoiser, self.report("world-model")["notes"]["change_scale"])

    def wrap(self, denoiser: nn.Module, change_scale: list[float]) -> VideoModel:
        """A video model around a denoiser; its autoencoder is the trained one."""
        preset = self.preset
        return VideoModel(self.autoencoder(), denoiser, preset.edm, self.cameras, preset.image_size, change_scale)

    def _dataset(self, split: str) -> Dataset:
        preset = self.preset
        shortest = 1 - min(preset.history_offsets) + preset.horizon
        return Dataset(self.data, split, image_size=preset.image_size, views=preset.views, shortest=shortest)
