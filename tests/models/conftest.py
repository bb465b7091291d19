from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from synthetic import write_dataset

from models.bundle import Bundle, load_bundle
from models.testing import random_bundle
from models.training import cli
from models.training.config import TINY
from models.training.workshop import Workshop


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_bundle(tmp_path_factory.mktemp("random"))


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    torch.set_num_threads(1)
    return load_bundle(bundle_path)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """History latents, history poses and actions of two rows."""
    generator = torch.Generator().manual_seed(0)
    history = torch.randn(2, 2, 48, 18, 10, generator=generator)
    pose = torch.tensor([0.48, 0.05, 0.35, 3.14, 0.02, -0.8, 0.0])
    moves = torch.zeros(2, 5, 7)
    moves[0, :, 0], moves[1, :, 2] = torch.linspace(0.03, 0.15, 5), -torch.linspace(0.03, 0.15, 5)
    return history, pose.expand(2, 2, 7).clone(), pose + moves


@pytest.fixture(scope="session")
def workshop(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """All stages of the tiny preset, trained for a few steps each through the command line."""
    folder = tmp_path_factory.mktemp("work")
    arguments = ["--data", str(dataset), "--out", str(folder), "--preset", "tiny", "--steps", "3", "--threads", "1"]
    assert cli.main(["all", *arguments]) == 0
    return Workshop(dataset, folder, TINY)
