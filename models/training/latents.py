"""Stage ``latents``: encode every frame once; the later stages only read these."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from models.autoencoder import Autoencoder
from models.data import Dataset
from models.errors import TrainingError

CHUNK = 32


def cache_latents(autoencoder: Autoencoder, weights: str, data: Dataset, folder: Path) -> None:
    """Write ``SPLIT.f16`` with the latents of all frames; frames encoded earlier with the same weights are kept.

    Args:
        autoencoder: Trained.
        weights: What identifies its weights.
        data: Split to encode.
        folder: Where to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = _shape(autoencoder, data)
    file, index = folder / f"{data.split}.f16", folder / f"{data.split}.json"
    done = 0
    if file.exists() and index.exists() and json.loads(index.read_text()).get("weights") == weights:
        done = min(json.loads(index.read_text())["frames"], len(data))
    with open(file, "ab") as stream, torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        stream.truncate(done * 2 * int(np.prod(shape)))
        for start in tqdm(range(done, len(data), CHUNK), f"encode {data.split}", unit="chunk"):
            images = torch.tensor(data.frames[start : start + CHUNK])[None]
            stream.write(autoencoder.encode_frames(images)[0].half().numpy().tobytes())
    index.write_text(json.dumps({"weights": weights, "frames": len(data)}))


def open_latents(autoencoder: Autoencoder, data: Dataset, folder: Path) -> np.ndarray:
    """Memory map ``(N, C, V*h, w)`` float16 of the frames that were there when the stage ran (data may have grown).

    Raises:
        TrainingError: There are none.
    """
    file = folder / f"{data.split}.f16"
    shape = _shape(autoencoder, data)
    frames = file.stat().st_size // 2 // int(np.prod(shape)) if file.exists() else 0
    if frames == 0:
        raise TrainingError(f"{file} is missing or empty: run the stage `latents` first")
    return np.memmap(file, np.float16, "r", shape=(min(frames, len(data)), *shape))


def _shape(autoencoder: Autoencoder, data: Dataset) -> tuple[int, int, int]:
    rows, columns = data.image_size[0] // 8, data.image_size[1] // 8
    return autoencoder.config.latent_channels, rows * len(data.views), columns
