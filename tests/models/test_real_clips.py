from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from models.real.clips import ObservedClips, transplanted
from models.real.held_out import as_table, history_blend, latent_figures


@pytest.fixture
def clips() -> ObservedClips:
    """Two episodes of 10 frames; pose x and every latent are the row's number."""
    poses = np.zeros((20, 7), np.float32)
    poses[:, 0] = np.arange(20)
    poses[10:, 6] = 1
    latents = np.broadcast_to(np.arange(20, dtype=np.float16)[:, None, None, None], (20, 2, 3, 2))
    return ObservedClips([(0, 10), (10, 10)], poses, latents, (-3, 0), 5)


def test_actions_are_the_poses_observed_at_the_frames(clips: ObservedClips):
    assert clips.starts.tolist() == [3, 4, 13, 14]
    batch = clips.at(np.array([4, 13]))
    assert batch.history_poses[:, :, 0].tolist() == [[1, 4], [10, 13]]
    assert batch.actions[:, :, 0].tolist() == [[5, 6, 7, 8, 9], [14, 15, 16, 17, 18]]
    assert torch.equal(batch.future[:, :, 0, 0, 0], batch.actions[:, :, 0])


def test_swapped_actions_move_as_another_episode_did(clips: ObservedClips):
    batch = clips.spread(4)
    swapped = clips.swapped_actions(batch)
    assert torch.allclose(swapped[..., :6], batch.actions[..., :6], atol=1e-5)  # both episodes move alike
    assert torch.equal(swapped[..., 6], 1 - batch.actions[..., 6])
    alone = ObservedClips([(0, 20)], clips.poses, clips.latents, (-3, 0), 5)
    assert alone.swapped_actions(alone.spread(4)) is None


def test_a_transplanted_motion_is_the_same_motion_in_the_base_frame():
    rng = np.random.default_rng(0)
    own, other = (torch.tensor(np.append(rng.normal(0, 1, 6), 0.0)).float()[None] for _ in range(2))
    actions = torch.tensor(rng.normal(0, 1, (1, 3, 7))).float()
    moved = transplanted(own, other, actions)
    assert torch.allclose(moved[..., :3] - own[:, None, :3], actions[..., :3] - other[:, None, :3], atol=1e-5)
    turns = []
    for start, path in ((own, moved), (other, actions)):
        begin = Rotation.from_euler("xyz", start[0, 3:6].numpy())
        turns.append((Rotation.from_euler("xyz", path[0, :, 3:6].numpy()) * begin.inv()).as_matrix())
    assert np.allclose(turns[0], turns[1], atol=1e-5)
    assert torch.allclose(transplanted(own, own, moved), moved, atol=1e-5)


def test_figures_of_predictions_that_are_known(clips: ObservedClips):
    def follow(history, poses, actions):
        return actions[..., 0].reshape(len(actions), -1, 1, 1, 1).expand(-1, -1, 2, 3, 2)

    batch = clips.spread(4)
    perfect, _ = latent_figures(follow, clips, batch)
    assert perfect["mse"] == 0
    assert perfect["repeat_mse"] == 11  # mean of 1, 4, 9, 16, 25
    half, _ = latent_figures(lambda h, p, a: h[:, -1:] + (follow(h, p, a) - h[:, -1:]) / 2, clips, batch)
    assert half["relative_error"] == 0.25
    assert half["relative_error_per_frame"] == [0.25] * 5
    assert half["swapped_error_ratio"] == 1


def test_the_blend_of_the_history_is_the_best_one(clips: ObservedClips):
    """In this footage frame k is (k + 3) / 3 of the current frame less k / 3 of the one three before."""
    batch = clips.spread(4)
    figures, _ = latent_figures(history_blend(batch), clips, batch)
    assert figures["relative_error"] == pytest.approx(0, abs=1e-4)


def test_the_table_lines_up_and_leaves_out_what_was_not_measured():
    table = as_table(
        {"before": None, "after": {"error": 0.5, "each": [1.0, 0.25], "none": None}, "train": {"error": 0.125}},
        {"error": "error", "each": "error", "none": "nothing"},
    )
    assert [line.split() for line in table.splitlines()] == [
        ["after", "train"],
        ["error", "0.5", "0.125"],
        ["error,", "frame", "1", "1", "-"],
        ["error,", "frame", "2", "0.25", "-"],
    ]
    assert len({len(line) for line in table.splitlines()}) == 1
