from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.bundle import Bundle, load_bundle, save_bundle
from models.data import Dataset
from models.errors import BundleError
from models.evaluation import uncertainty
from models.evaluation.unfamiliar import CLIP_SCORE, FAMILIARITY, tell_apart
from models.interfaces import Uncertainty
from models.training.familiarity_stage import CALIBRATION, IGNORED, patch_labels
from models.training.pasting import Paster
from models.training.workshop import Workshop
from models.uncertainty.familiarity import FILE, Familiarity, FamiliarityConfig, _scaled

GENERATOR = torch.Generator().manual_seed(0)


def states(count: int) -> torch.Tensor:
    return torch.randn(count, 48, 18, 10, generator=GENERATOR)


@pytest.fixture(scope="module")
def familiarity(bundle: Bundle) -> Familiarity:
    """An untrained network, and scales of standard normal latents."""
    torch.manual_seed(0)
    part = Familiarity(FamiliarityConfig.of(bundle.config.semantic, (6, 10), classes=5)).eval().requires_grad_(False)
    part.fit_scene(torch.zeros(48, 18, 10), torch.ones(48, 18, 10))
    judged = part(states(200), bundle.semantic)
    part.calibrate(judged.scene, judged.thing)
    return part


def test_half_of_the_familiar_states_are_less_strange_than_their_median(familiarity: Familiarity, bundle: Bundle):
    judged = familiarity(states(200), bundle.semantic)
    assert judged.scene.shape == (200, 3, 6, 10)
    assert judged.thing.shape == (200, 3, 12, 20)
    assert judged.views.shape == (200, 3)
    assert judged.percentile.mean() == pytest.approx(0.5, abs=0.1)
    assert 0.005 < (judged.state > 1).float().mean() < 0.12
    assert (judged.percentile[judged.state > 1] > 0.96).all()
    assert (judged.percentile[judged.state < 0] <= 0.51).all()


def test_a_view_that_moved_is_strange_and_said_to_be_that_view(familiarity: Familiarity, bundle: Bundle):
    latents = states(20)
    latents[:, :, 6:12] += 1.0  # the second of three views
    judged = familiarity(latents, bundle.semantic)
    assert (judged.percentile == 1).all()
    assert (judged.views[:, 1] > 1).all()
    assert (judged.scene[:, 1].mean() - 2**0.5) < 0.1
    assert (judged.scene[:, 0].mean() - 1) < 0.05


def test_one_patch_is_enough_for_an_unknown_thing(familiarity: Familiarity):
    scene, thing = torch.ones(2, 3, 6, 10), torch.full((2, 3, 12, 20), -6.0)
    thing[1, 2, 3, 4] = 6.0
    summary = familiarity.summary(scene, thing)
    assert torch.allclose(summary[0], torch.tensor([[1.0] * 3, [-6.0] * 3]))
    assert summary[1, 1].tolist() == pytest.approx([-6, -6, -2])


def test_a_scene_like_most_does_not_make_up_for_a_strange_thing(familiarity: Familiarity, bundle: Bundle):
    latents = states(20)
    near, usual = (familiarity(share * latents, bundle.semantic) for share in (0.5, 1.0))
    assert (near.scene.mean(dim=(2, 3)) < usual.scene.mean(dim=(2, 3))).all()
    thing = _scaled(familiarity.summary(near.scene, near.thing), familiarity.view_scale)[:, 1]
    assert torch.allclose(near.views, thing)


def test_the_file_keeps_every_score_and_a_bundle_plans_without_it(
    familiarity: Familiarity, bundle: Bundle, bundle_path: Path, tmp_path: Path
):
    assert load_bundle(bundle_path).familiarity is None
    folder = save_bundle(replace(bundle, familiarity=familiarity), tmp_path / "bundle")
    again = load_bundle(folder)
    latents = states(3)
    assert again.familiarity is not None
    assert (folder / FILE).stat().st_size < 1e6
    assert torch.allclose(
        again.familiarity(latents, again.semantic).state, familiarity(latents, bundle.semantic).state, atol=0.02
    )
    assert again.hash != bundle.hash, "plans depend on it"
    (folder / FILE).write_bytes(b"nonsense")
    with pytest.raises(BundleError, match="vidplan train familiarity"):
        load_bundle(folder)


def test_training_leaves_it_in_the_bundle_with_its_calibration(workshop: Workshop):
    built = load_bundle(workshop.folder / "bundle")
    assert built.familiarity is not None
    assert built.familiarity.config.classes == len(workshop.training.classes)
    notes = workshop.report("familiarity")["notes"]
    for name in CALIBRATION:
        assert torch.allclose(built.familiarity.get_buffer(name), torch.tensor(notes[name]), rtol=2e-3, atol=1e-3)
    clips = workshop.clips(workshop.held_out).spread(4)
    assert built.familiarity(clips.history[:, -1], built.semantic).percentile.min() < 1


def test_patches_are_named_after_what_covers_a_quarter_of_them():
    classes = torch.zeros(1, 1, 4, 16, dtype=torch.uint8)
    classes[..., :2, :2] = 5  # unknown: 4 of 16 pixels
    classes[..., 0, 4] = 2  # too little of a carrot
    classes[..., :3, 8:12] = 4  # mostly robot
    classes[..., :2, 8:11] = 1  # and a thing, which wins
    assert patch_labels(classes, unknown=5, side=4).flatten().tolist() == [5, IGNORED, 1, 0]


def test_what_is_pasted_is_labelled_and_the_rest_stays(dataset: Path):
    data = Dataset(dataset, "train", progress=False)
    paster = Paster(data, len(data))
    found = set()
    for seed in range(40):
        pictures, classes = paster.state(np.random.default_rng(seed))
        again, _ = paster.state(np.random.default_rng(seed))
        assert np.array_equal(pictures, again)
        row = np.random.default_rng(seed).integers(len(data))
        found |= set(np.unique(classes).tolist())
        changed = (pictures != data.frames[row]).any(-1)
        labelled = classes != data.segmentation[row]
        strange = classes == paster.unknown
        assert changed[strange].sum() >= 0.9 * strange.sum()
        assert (labelled & ~changed).mean() < 0.05
    assert found == {0, 1, paster.unknown}


def test_the_score_that_counts_is_the_one_named():
    known = {"good": np.arange(8.0), "bad": np.zeros(8)}
    strange = {"good": np.arange(8.0) + 10, "bad": np.zeros(8)}
    episodes = np.arange(8) // 2
    assert tell_apart(known, episodes, strange, episodes, "good")["auroc"] == 1.0
    found = tell_apart(known, episodes, strange, episodes, "bad")
    assert (found["auroc"], found["by_score"]) == (0.5, {"good": 1.0, "bad": 0.5})


class Clips:
    """What `uncertainty._Told` reads of judged clips."""

    def __init__(self, latents: torch.Tensor) -> None:
        self.batch, self.episodes = self, np.arange(len(latents))
        self.history = latents[:, None]


@pytest.mark.parametrize("has", [True, False])
def test_the_evaluation_takes_the_familiarity_where_there_is_one(has: bool, familiarity: Familiarity, bundle: Bundle):
    with_it = replace(bundle, familiarity=familiarity if has else None)
    doubt = Uncertainty(*(torch.rand(20, 5, 3, 6, 10, generator=GENERATOR) for _ in range(3)))
    known, other = (uncertainty._Told(with_it, Clips(latents), doubt) for latents in (states(20), 3 * states(20)))
    assert known.counts == (FAMILIARITY if has else CLIP_SCORE)
    assert (FAMILIARITY in known.scores) is has
    assert known.against(other, known.counts)["auroc"] == (1.0 if has else 0.5)
