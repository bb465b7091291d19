from __future__ import annotations

import numpy as np
import pytest
import torch

from models.autoencoder import Autoencoder, AutoencoderConfig, reconstruction_loss, split_views, stack_views, warp
from models.errors import ShapeError
from models.training.autoencoder_stage import random_places


def test_views_are_stacked_on_rows_in_order():
    latents = torch.arange(3).float().reshape(1, 1, 3, 1, 1, 1).expand(1, 1, 3, 48, 6, 10)
    stacked = stack_views(latents)
    assert stacked.shape == (1, 1, 48, 18, 10)
    assert [stacked[0, 0, 0, row, 0].item() for row in (0, 6, 12)] == [0, 1, 2]
    assert torch.equal(split_views(stacked, 3), latents)


def test_each_view_is_encoded_on_its_own(bundle):
    images = torch.randint(0, 255, (1, 1, 3, 48, 80, 3), dtype=torch.uint8)
    latents = bundle.world_model.encode(images)
    assert latents.shape == (1, 1, 48, 18, 10)
    changed = images.clone()
    changed[:, :, 1] = 0
    after = bundle.world_model.encode(changed)
    assert torch.equal(after[..., :6, :], latents[..., :6, :])
    assert not torch.equal(after[..., 6:12, :], latents[..., 6:12, :])
    assert torch.equal(after[..., 12:, :], latents[..., 12:, :])
    decoded = bundle.world_model.decode(latents)
    assert decoded.shape == images.shape
    assert decoded.dtype == torch.uint8


def test_wrong_images_are_refused(bundle):
    with pytest.raises(ShapeError, match="uint8"):
        bundle.world_model.encode(torch.zeros(1, 1, 3, 48, 80, 3))
    with pytest.raises(ShapeError, match="3 views"):
        bundle.world_model.encode(torch.zeros(1, 1, 2, 48, 80, 3, dtype=torch.uint8))


def test_hard_pixels_weigh_more_than_the_same_error_spread_out():
    images = torch.zeros(1, 3, 48, 80)
    spread = torch.full_like(images, 0.01)
    spot = torch.zeros_like(images)
    spot[:, :, :6, :8] = 0.01 * images[0, 0].numel() / 48  # the same mean absolute error
    assert reconstruction_loss(images, spot) > reconstruction_loss(images, spread)


def test_moved_latents_decode_to_moved_views_where_the_codec_is_exact():
    places = random_places(4, np.random.default_rng(0))
    assert torch.equal(places[:2], torch.eye(2, 3).expand(2, 2, 3))
    assert not torch.equal(places[2:], torch.eye(2, 3).expand(2, 2, 3))
    images = torch.rand(4, 3, 48, 80)
    torch.testing.assert_close(warp(images, places)[:2], images[:2], atol=1e-4, rtol=0)
    right = torch.tensor([[[1.0, 0.0, -0.1], [0.0, 1.0, 0.0]]])  # a twentieth of the width
    torch.testing.assert_close(warp(images[:1], right)[..., 4:], images[:1, ..., :-4], atol=1e-4, rtol=0)
    # Four pixels are one latent cell: there even an untrained codec moves exactly (but for its border).
    codec = Autoencoder(AutoencoderConfig(widths=(8, 16))).eval()
    moved, plain = codec(images[:1], right), codec(images[:1])
    torch.testing.assert_close(moved[..., 20:28, 30:50], plain[..., 20:28, 26:46], atol=1e-4, rtol=0)
