"""Writes a tiny dataset as Ctrl-World publishes DROID: no labels, no cameras, latents that follow the hand's x."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from synthetic import write_episode

FRAMES = 20


def write_real(root: Path, episodes: int = 3) -> Path:
    for split, count in (("train", episodes), ("val", 2)):
        for index in range(count):
            path = write_episode(root, split, str(index), FRAMES, np.random.default_rng([index, split == "val"]))
            values = json.loads(path.read_text())
            del values["vidplan"]
            path.write_text(json.dumps(values))
            add_latents(root, split, str(index), 20 * (np.array(values["states"])[:, 0] - 0.5))
    return root


def add_latents(root: Path, split: str, name: str, levels: np.ndarray) -> None:
    path = root / "annotation" / split / f"{name}.json"
    values = json.loads(path.read_text())
    values["latent_videos"] = []
    for view in range(3):
        file = f"latent_videos/{split}/{name}/{view}.pt"
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        frames = torch.tensor(levels + view, dtype=torch.float32)[:, None, None, None].expand(-1, 4, 24, 40)
        torch.save(frames.clone(), root / file)
        values["latent_videos"].append({"latent_video_path": file})
    path.write_text(json.dumps(values))
