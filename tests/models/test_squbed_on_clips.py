from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import torch

from models.evaluation.footage import Footage
from models.evaluation.judged import Judged
from models.interfaces import Imagined

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(scope="module")
def judged(bundle, dataset) -> Judged:
    footage = Footage(bundle, dataset, "val")
    batch = footage.clips(footage.spread(3))
    noise = bundle.world_model.initial_noise(batch.history, torch.Generator().manual_seed(0))
    given = batch.history, batch.history_poses, batch.actions
    return Judged(footage, batch, noise, bundle.world_model.imagine(*given, steps=0, noise=noise))


def test_an_error_is_in_its_region_alone(judged: Judged):
    from squbed_on_clips import _errors

    latents = judged.batch.future.clone()
    latents[1, -1, :, 6 + 2 : 6 + 4, 4:6] += 1.0  # second view: second row of regions, third column
    imagined = Imagined(latents, *(getattr(judged.imagined, name) for name in ("history", "history_poses", "actions")))
    error, moving = _errors(dataclasses.replace(judged, imagined=imagined), 3)
    assert error.shape == moving.shape == (3, 1, 3, 3, 5)
    assert error[1, 0, 1, 1, 2].item() == pytest.approx(0.5)  # of two frames, one is wrong
    assert torch.count_nonzero(error) == 1


def test_squbed_stands_beside_the_head(bundle, judged: Judged, monkeypatch: pytest.MonkeyPatch):
    import squbed_on_clips
    from squbed_on_clips import HEAD, measure_squbed, table

    monkeypatch.setattr(squbed_on_clips, "VIDEOS", 3)
    monkeypatch.setattr("squbed_on_clips.MOVING", 0.0)
    part = measure_squbed(bundle, judged, {"light": judged}, lambda what, share: None)
    assert part["regions"] == 3 * 3 * 15
    for name in ("S-QUBED", HEAD):
        assert part["judges"][name]["unfamiliar"]["light"]["auroc"] == 0.5
        assert part["judges"][name]["relation"]["spearman"] is not None
    rows = table(part).rows
    assert [row[0] for row in rows[1:]] == ["S-QUBED", HEAD]
    assert len({len(row) for row in rows}) == 1
