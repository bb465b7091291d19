from __future__ import annotations

import numpy as np
import torch

from models.bundle import load_bundle
from models.bundle_cli import DEFAULT_BUNDLE


def test_the_shipped_bundle_loads_is_small_and_its_card_is_about_these_weights():
    bundle = load_bundle(DEFAULT_BUNDLE)
    assert sum(file.stat().st_size for file in DEFAULT_BUNDLE.iterdir()) < 20e6
    assert bundle.hash[:12] in (DEFAULT_BUNDLE / "CARD.md").read_text()
    assert {"measuring tape", "fish", "pea", "carrot", "towel", "bowl"} <= set(bundle.config.phrases)


def test_it_sees_a_named_object_and_not_one_that_is_absent():
    """A grey table with one orange bar in the left view: the carrot is there, the fish is not."""
    torch.set_num_threads(1)
    bundle = load_bundle(DEFAULT_BUNDLE)
    images = np.full((1, 1, 3, 48, 80, 3), (176, 136, 104), np.uint8)
    images[0, 0, 0, 30:33, 40:49] = (240, 110, 20)
    latents = bundle.world_model.encode(torch.from_numpy(images))
    carrot, fish = (bundle.semantic.relevance(latents, phrase)[0, 0, 0] for phrase in ("carrot", "fish"))
    row, column = divmod(int(carrot.argmax()), carrot.shape[1])
    assert 14 <= row <= 17
    assert 19 <= column <= 25
    assert carrot.max() > 0.5
    assert fish.max() < 0.3


def test_it_imagines_the_arm_moving_where_the_action_says():
    """Opposite actions from one scene end in clearly different futures, and standing still changes least."""
    torch.set_num_threads(1)
    bundle = load_bundle(DEFAULT_BUNDLE)
    generator = torch.Generator().manual_seed(0)
    images = torch.full((1, 2, 3, 48, 80, 3), 150, dtype=torch.uint8)
    history = bundle.world_model.encode(images)
    pose = torch.tensor([0.45, 0.0, 0.35, 3.14, 0.0, -0.8, 0.0])
    actions = pose.expand(3, 5, 7).clone()
    actions[1, :, 1], actions[2, :, 1] = torch.linspace(0.05, 0.2, 5), -torch.linspace(0.05, 0.2, 5)
    noise = torch.randn(1, 5, 48, 18, 10, generator=generator).expand(3, -1, -1, -1, -1)
    with torch.no_grad():
        imagined = bundle.world_model.imagine(
            history.expand(3, -1, -1, -1, -1), pose.expand(3, 2, 7), actions, noise=noise
        ).latents
    still, left, right = imagined[:, -1]
    assert (left - right).square().mean() > (left - still).square().mean()
    assert (left - right).square().mean() > 0.01
