from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.bundle import Bundle
from models.errors import ModelsError
from models.evaluation.footage import Footage
from models.evaluation.lpips import ALEXNET, LAYERS, LINEAR, load_lpips
from models.evaluation.pixels import Truth, gradient_energy
from models.evaluation.ssim import mean_ssim, ssim_map


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, 3, generator=torch.Generator().manual_seed(seed))


def test_ssim_is_the_published_formula_in_a_gaussian_window():
    first, second = images(24, 30).double(), images(24, 30, seed=1).double()
    row, column = 11, 17
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    expected = []
    for colour in range(3):
        x, y = (p[row - 5 : row + 6, column - 5 : column + 6, colour].numpy() for p in (first, second))
        mean_x, mean_y = (window * x).sum(), (window * y).sum()
        spread = (window * ((x - mean_x) ** 2 + (y - mean_y) ** 2)).sum()
        together = (window * (x - mean_x) * (y - mean_y)).sum()
        luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
        expected.append(luminance * (2 * together + 9e-4) / (spread + 9e-4))
    assert ssim_map(first, second)[row, column].item() == pytest.approx(np.mean(expected), abs=1e-6)


def test_ssim_of_equal_images_is_one_and_falls_with_noise():
    first = images(2, 20, 30)
    assert mean_ssim(ssim_map(first, first)) == pytest.approx(1.0, abs=1e-5)
    noisy = [mean_ssim(ssim_map(first, first + level * images(2, 20, 30, seed=1))) for level in (0.1, 0.3)]
    assert 1 > noisy[0] > noisy[1]


def test_blur_lowers_gradient_energy():
    picture = images(1, 20, 30)
    blurred = nn.functional.avg_pool2d(picture.movedim(-1, 1), 3, 1, 1).movedim(1, -1)
    assert gradient_energy(blurred).mean() < 0.5 * gradient_energy(picture).mean()
    assert gradient_energy(torch.ones(4, 5, 3)).max() == 0


def test_truth_scores_the_real_frames_best(bundle: Bundle, dataset: Path):
    footage = Footage(bundle, dataset, "val")
    truth = Truth(footage, footage.spread(3), 5)
    real, repeated = truth.figures(truth.real), truth.figures(truth.repeated)
    assert real["psnr"] == 90.0
    assert real["ssim"] == pytest.approx(1.0)
    assert real["psnr_changed"] == 90.0
    assert repeated["psnr_changed"] < repeated["psnr"] < 90
    difference = (truth.real[:, -1].float() - truth.current.float()).square().mean(-1) / 255**2
    moved = truth.changed[:, -1]
    assert repeated["psnr_changed_last"] == pytest.approx(-10 * np.log10(difference[moved].mean().item()), abs=0.01)
    assert truth.perceptual_error(truth.real).abs().max() < 1e-4
    still = Truth(footage, footage.spread(1), 1)
    still.changed[:] = False
    assert still.figures(still.real)["psnr_changed"] is None


def published(folder: Path, seed: int = 0) -> Path:
    """Random weights under the names of torchvision's AlexNet and of lpips v0.1."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    backbone = {"classifier.6.bias": torch.zeros(1000)}
    for index, (out, into, size) in shapes.items():
        backbone[f"features.{index}.weight"] = (
            torch.randn(out, into, size, size, generator=generator) / (into * size**2) ** 0.5
        )
        backbone[f"features.{index}.bias"] = torch.randn(out, generator=generator) * 0.1
    linear = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1, generator=generator) for i, c in enumerate(LAYERS)}
    torch.save(backbone, folder / ALEXNET)
    torch.save(linear, folder / LINEAR)
    return folder


def test_lpips_is_the_published_network(tmp_path: Path):
    backbone, linear = (torch.load(published(tmp_path) / name) for name in (ALEXNET, LINEAR))
    first, second = (images(2, 48, 80, seed=seed).movedim(-1, 1) for seed in (1, 2))

    def features(x: torch.Tensor) -> list[torch.Tensor]:
        shift, scale = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ([-0.03, -0.088, -0.188], [0.458, 0.448, 0.45]))
        x, found = (2 * x - 1 - shift) / scale, []
        for index, stride, padding, pool in (
            (0, 4, 2, True),
            (3, 1, 2, True),
            (6, 1, 1, False),
            (8, 1, 1, False),
            (10, 1, 1, False),
        ):
            weights = backbone[f"features.{index}.weight"], backbone[f"features.{index}.bias"]
            x = nn.functional.conv2d(x, *weights, stride=stride, padding=padding).relu()
            found.append(x / (x.norm(dim=1, keepdim=True) + 1e-10))
            x = nn.functional.max_pool2d(x, 3, 2) if pool else x
        return found

    pairs = zip(features(first), features(second), linear.values(), strict=True)
    expected = sum(nn.functional.conv2d((a - b) ** 2, weight).mean(dim=(1, 2, 3)) for a, b, weight in pairs)
    lpips = load_lpips(tmp_path)
    distance, spatial = lpips(first, second)
    assert torch.allclose(distance, expected, atol=1e-6)
    assert spatial.shape == (2, 48, 80)
    assert spatial.mean((1, 2)) == pytest.approx(distance, rel=0.2)
    assert lpips(first, first)[0].max() == 0


def test_lpips_is_used_when_its_weights_are_there(bundle: Bundle, dataset: Path, tmp_path: Path):
    footage = Footage(bundle, dataset, "val")
    truth = Truth(footage, footage.spread(1), 2, load_lpips(published(tmp_path)))
    assert truth.figures(truth.real)["lpips"] == 0
    assert truth.figures(255 - truth.real)["lpips"] > 0
    assert truth.perceptual_error(255 - truth.real).shape == truth.real.shape[:-1]


def test_missing_or_other_weights_are_named(tmp_path: Path):
    with pytest.raises(ModelsError, match=rf"{ALEXNET} is missing"):
        load_lpips(tmp_path)
    published(tmp_path)
    torch.save({"lin0.model.1.weight": torch.zeros(1, 7, 1, 1)}, tmp_path / LINEAR)
    with pytest.raises(ModelsError, match=r"lin0.model.1.weight should have the shape \(1, 64, 1, 1\), found \(1, 7"):
        load_lpips(tmp_path)
