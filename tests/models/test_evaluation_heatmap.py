from __future__ import annotations

import torch

from models.heatmap import Heatmap


class _Plain:
    """A world model whose latents are the mean colours of each 8x8 block."""

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.float().movedim(-1, 3).flatten(0, 2)
        cells = torch.nn.functional.avg_pool2d(pixels, 8).unflatten(0, images.shape[:3])
        return cells.transpose(2, 3).flatten(3, 4)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        views = latents.unflatten(3, (2, -1)).transpose(2, 3)
        large = views.repeat_interleave(8, -1).repeat_interleave(8, -2)
        return large.movedim(3, -1).round().to(torch.uint8)


def heatmap() -> Heatmap:
    return Heatmap(_Plain(), 2, (16, 24))  # type: ignore[arg-type]


def test_cells_are_blue_where_sure_green_between_and_red_where_unsure():
    h = torch.zeros(1, 1, 2, 2, 3)
    h[0, 0, 1] = torch.tensor([[0.0, 0.25, 0.5], [0.75, 1.0, 2.0]])
    colours = heatmap().colours(h)[0, 0]
    assert colours.shape == (2, 16, 24, 3)
    assert (colours[0] == torch.tensor([0, 0, 255])).all()
    cell = colours[1, 4::8, 4::8]
    assert cell[0].tolist() == [[0, 0, 255], [0, 128, 128], [0, 255, 0]]
    assert cell[1].tolist() == [[128, 128, 0], [255, 0, 0], [255, 0, 0]]


def test_the_frame_stays_visible_where_the_model_is_sure():
    frames = torch.full((1, 1, 2, 16, 24, 3), 100, dtype=torch.uint8)
    sure, unsure = (heatmap().over(frames, torch.full((1, 1, 2, 2, 3), level)) for level in (0.0, 1.0))
    assert sure[0, 0, 0, 0, 0].tolist() == [85, 85, 123]
    assert unsure[0, 0, 0, 0, 0].tolist() == [209, 30, 30]
