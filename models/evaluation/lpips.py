"""LPIPS (Zhang et al. 2018, AlexNet) from its published weights, without torchvision and the lpips package.

Two files, under their published names, in one folder that the user gives:

* ``alexnet-owt-7be5be79.pth``, torchvision's AlexNet (keys ``features.N.weight``, ``features.N.bias``);
* ``alex.pth``, version 0.1 of the linear layers in the lpips repository (keys ``lin{0..4}.model.1.weight``).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.errors import ModelsError

ALEXNET, LINEAR = "alexnet-owt-7be5be79.pth", "alex.pth"
LAYERS = (64, 192, 384, 256, 256)
TAPS = (1, 4, 7, 9, 11)
"""Modules of `Lpips.features` whose output is compared: every rectified convolution."""


class Lpips(nn.Module):
    """Distance of images, 0 for equal ones."""

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        first, second, third, fourth, fifth = LAYERS
        self.features = nn.Sequential(
            nn.Conv2d(3, first, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(first, second, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(third, fourth, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(fourth, fifth, 3, padding=1),
            nn.ReLU(),
        )
        self.linear = nn.ParameterList(torch.zeros(1, channels, 1, 1) for channels in LAYERS)
        # The authors' normalisation of images in [-1, 1].
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Compare images ``(N, 3, rows, columns)`` in [0, 1].

        Returns:
            The published distance ``(N,)`` (mean of every layer's map, summed) and the authors' spatial version
            ``(N, rows, columns)`` (the maps enlarged bilinearly, summed).
        """
        distance, spatial = torch.zeros(len(first)), torch.zeros(len(first), *first.shape[2:])
        for one, two, weight in zip(self._taps(first), self._taps(second), self.linear, strict=True):
            layer = ((one - two).square() * weight).sum(1, keepdim=True)
            distance += layer.mean(dim=(1, 2, 3))
            spatial += functional.interpolate(layer, size=first.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        return distance, spatial

    def _taps(self, images: Tensor) -> list[Tensor]:
        x = (images * 2 - 1 - self.shift) / self.scale
        taps = []
        for index, module in enumerate(self.features):
            x = module(x)
            if index in TAPS:
                taps.append(x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10))
        return taps


def load_lpips(folder: Path) -> Lpips:
    """Read the published weights.

    Raises:
        ModelsError: A file is missing or holds other weights.
    """
    model = Lpips()
    backbone, linear = (_read(folder / name) for name in (ALEXNET, LINEAR))
    wanted = {f"features.{key}": value for key, value in model.features.state_dict().items()}
    wanted |= {f"lin{index}.model.1.weight": weight for index, weight in enumerate(model.linear)}
    found = {**backbone, **linear}
    for key, value in wanted.items():
        if key not in found or found[key].shape != value.shape:
            shape = tuple(found[key].shape) if key in found else "nothing"
            raise ModelsError(f"{folder}: {key} should have the shape {tuple(value.shape)}, found {shape}")
        value.data.copy_(found[key])
    return model.eval().requires_grad_(False)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelsError(
            f"{file} is missing: LPIPS needs {ALEXNET} (torchvision) and {LINEAR} (the lpips repository, v0.1)"
        ) from error
    except Exception as error:
        raise ModelsError(f"{file} is not a file of weights: {error}") from error
