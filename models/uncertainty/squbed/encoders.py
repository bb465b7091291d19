"""Embedders whose weights come from elsewhere: sentence-transformers, CLIP, S3D.

Their packages are no dependency of vidplan; they are imported when one of these is made, and download their weights on
first use, unless the name is a local folder.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from models.errors import ModelsError

CLIP_FRAMES = 8
S3D_MEAN, S3D_SPREAD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)
S3D_SIZE, S3D_FRAMES = (224, 224), 16
"""What torchvision's Kinetics weights expect; it needs at least 14 frames."""


class SentenceTexts:
    """A sentence-transformers model, e.g. ``all-MiniLM-L6-v2``."""

    def __init__(self, model: str) -> None:
        """Load it.

        Raises:
            ModelsError: The package is missing, or the model cannot be loaded.
        """
        package = needed("sentence_transformers", "sentence-transformers")
        self.name = f"sentence-transformers {model}"
        self._model: Any = loaded(self.name, package.SentenceTransformer, model)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See `TextEmbedder`."""
        return np.asarray(self._model.encode(list(texts)), dtype=np.float64)


class ClipVideos:
    """Mean CLIP embedding of frames of the video, through transformers, e.g. ``openai/clip-vit-base-patch32``."""

    def __init__(self, model: str) -> None:
        """Load it; raises as `SentenceTexts`."""
        package = needed("transformers", "transformers")
        self.name = f"CLIP {model}"
        self._model: Any = loaded(self.name, package.CLIPModel.from_pretrained, model)
        self._processor: Any = loaded(self.name, package.CLIPImageProcessor.from_pretrained, model)

    @torch.no_grad()
    def embed(self, videos: np.ndarray) -> np.ndarray:
        """See `VideoEmbedder`."""
        chosen = np.linspace(0, videos.shape[1] - 1, min(CLIP_FRAMES, videos.shape[1])).round().astype(int)
        vectors = []
        for video in videos:
            pixels = self._processor(images=list(video[chosen]), return_tensors="pt")["pixel_values"]
            frames = self._model.get_image_features(pixel_values=pixels)
            frames = getattr(frames, "pooler_output", frames)  # a tensor up to transformers 4, an output object since
            vectors.append(functional.normalize(frames, dim=-1).mean(0).double().numpy())
        return np.stack(vectors)


class S3dVideos:
    """Features under the classifier of torchvision's S3D (Kinetics-400); S-QUBED uses the one of Miech et al."""

    name = "S3D KINETICS400_V1"

    def __init__(self) -> None:
        """Load it; raises as `SentenceTexts`."""
        package = needed("torchvision.models.video", "torchvision")
        self._model: Any = loaded(self.name, package.s3d, weights="KINETICS400_V1")
        self._model.classifier = torch.nn.Identity()
        self._model.eval()

    @torch.no_grad()
    def embed(self, videos: np.ndarray) -> np.ndarray:
        """See `VideoEmbedder`."""
        return np.stack([self._model(self._prepared(video))[0].double().numpy() for video in videos])

    @staticmethod
    def _prepared(video: np.ndarray) -> torch.Tensor:
        """``(1, 3, frames, 224, 224)``, short videos stretched by repeating frames."""
        chosen = np.linspace(0, len(video) - 1, max(S3D_FRAMES, len(video))).round().astype(int)
        frames = torch.from_numpy(np.ascontiguousarray(video[chosen])).movedim(-1, 1).float() / 255
        frames = functional.interpolate(frames, size=S3D_SIZE, mode="bilinear", antialias=True)
        mean, spread = (torch.tensor(values).view(1, 3, 1, 1) for values in (S3D_MEAN, S3D_SPREAD))
        return ((frames - mean) / spread).movedim(1, 0)[None]


def needed(module: str, package: str) -> Any:
    """Import a module that vidplan does not install.

    Raises:
        ModelsError: It is not there; the message says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ModelsError(
            f"this needs the Python package {package}: pip install {package}. The default embedders need nothing"
        ) from error


def loaded(name: str, load: Any, *arguments: Any, **options: Any) -> Any:
    """Call a loader that may want to download.

    Raises:
        ModelsError: It could not.
    """
    try:
        return load(*arguments, **options)
    except Exception as error:  # these libraries raise whatever their network layer does
        raise ModelsError(
            f"{name} cannot be loaded: {error}. Without a network, give the folder of a download"
        ) from error
