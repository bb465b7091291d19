from __future__ import annotations

import numpy as np
import torch

from models.cameras import ToolHeatMaps
from models.training.config import TINY
from models.training.disturbances import add_strangers, disturb, relight
from models.training.loop import Share, draw_for
from models.training.stages import make_stage
from models.training.workshop import Workshop


def test_a_share_of_the_clips_goes_on_from_imagined_frames(workshop: Workshop):
    clips = workshop.clips(workshop.training)
    rng = np.random.default_rng(0)
    batch = clips.at(clips.choose(64, rng))
    back = clips.choose_back(batch.rows, 0.5, rng)
    assert not clips.choose_back(batch.rows, 0.0, rng).any()

    def imagine(earlier, indices):
        assert (earlier.rows == (batch.rows - back)[indices]).all()
        frames = torch.arange(1, 6).float().reshape(1, 5, 1, 1, 1)
        return (torch.from_numpy(earlier.rows).reshape(-1, 1, 1, 1, 1) + frames).expand_as(earlier.future)

    lived = clips.live_on(batch, back, imagine)
    replaced = (lived.history != batch.history).flatten(1).any(1).numpy()
    assert (replaced == (back > 0)).all()
    assert 8 < replaced.sum() < 56
    # Imagined "latents" tell the row they stand for: the history must be that of the clip's own rows.
    for index in np.flatnonzero(replaced):
        assert lived.history[index, :, 0, 0, 0].tolist() == [batch.rows[index] - 1, batch.rows[index]]
    assert torch.equal(lived.future, batch.future)


def test_two_processes_see_the_rows_of_one(workshop: Workshop):
    for name in TINY.loops:
        stage = make_stage(name, workshop)
        stage.module.eval()
        with torch.no_grad():
            whole, _ = stage.loss(12, draw_for(0, name, 7))
            halves = [stage.loss(12, draw_for(0, name, 7, Share(index, 2)))[0] for index in range(2)]
        torch.testing.assert_close(sum(halves) / 2, whole, rtol=1e-4, atol=1e-6)


def test_clips_are_disturbed_in_all_their_frames_alike(workshop: Workshop):
    clips = workshop.clips(workshop.training)
    batch = clips.spread(6)
    codec, spots = workshop.autoencoder(), ToolHeatMaps(workshop.cameras, (48, 80), (6, 10))

    def disturbed(share, seed):
        rngs = [np.random.default_rng([seed, row]) for row in range(6)]
        return disturb(clips, batch, share, codec, spots, rngs)

    assert disturbed(0.0, 1) is batch
    changed = disturbed(1.0, 1)
    assert (changed.history != batch.history).flatten(1).any(1).all()
    assert (changed.future != batch.future).flatten(1).any(1).all()
    assert torch.equal(disturbed(1.0, 1).future, changed.future)
    grey = torch.full((7, 3, 3, 48, 80), 0.5)
    rng = np.random.default_rng(0)
    lit = relight(grey, rng)
    assert (lit - grey).abs().mean() > 0.01
    assert torch.equal(lit[0], lit[-1])
    poses = torch.from_numpy(clips.poses[batch.rows[:1].repeat(7)])
    placed = add_strangers(grey, poses, spots, rng)
    assert 5 < (placed != grey).any(2)[0].sum() < 4000, "pixels of the three views"
    assert torch.equal(placed[0], placed[-1]), "the arm stands still, so do they"


def test_samples_show_the_real_clip_above_the_imagined_one(workshop: Workshop):
    videos = make_stage("flow-map", workshop).samples()
    assert len(videos) == 3
    for video in videos.values():
        assert video.shape == (6, 2 * 48 * 3, 3 * 80 * 3, 3)
        assert video.dtype == np.uint8
        assert np.array_equal(video[0, :144], video[0, 144:]), "both begin with the newest frame"
        assert not np.array_equal(video[5, :144], video[5, 144:])
