"""Poses, history and views of published DROID episodes, against cases worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers", reason="the extra `full` is not installed")

from real_footage import write_real

from models.conditioning import Conditioner
from models.ctrl_world.conditioning import FramewiseConditioner, PoseConditioner, PoseScale
from models.ctrl_world.config import CtrlWorldConfig
from models.data import open_source
from models.real.clips import ObservedClips
from models.real.latents import LatentEpisodes
from models.testing import random_bundle_config

CONFIG = CtrlWorldConfig()


def test_scaling_by_hand():
    scale = PoseScale(CONFIG.pose_lower, CONFIG.pose_upper)
    # x: halfway between .26767 and .78105; y: at 1 %; z: above 99 %; gripper: a quarter of .99119
    pose = torch.tensor([0.524358, -0.441716, 0.9, 0.0, 0.903914, -9.0, 0.247797])
    wanted = [0.0, -1.0, 1.0, -0.0000148, 1.0, -1.0, -0.5]
    assert scale(pose).tolist() == pytest.approx(wanted, abs=2e-5)


@pytest.fixture(scope="module")
def clips(droid: Path) -> ObservedClips:
    split = LatentEpisodes(droid, "val", shortest=17)
    return ObservedClips(split.spans, split.poses, split.latents, CONFIG.history_offsets, CONFIG.horizon)


def test_percentiles_are_the_published_ones(droid: Path):
    values = json.loads((droid / "stat.json").read_text())
    assert CONFIG.pose_lower == tuple(values["state_01"])
    assert CONFIG.pose_upper == tuple(values["state_99"])


def test_frames_and_poses_of_a_clip_are_those_of_the_episode(droid: Path, clips):
    name = next(iter(open_source(droid).stamps("val")))
    annotation = json.loads((droid / "annotation" / "val" / f"{name}.json").read_text())
    now = 14  # of the first episode, 5 Hz; the 15 Hz state of frame n is 3 n
    batch = clips.at(np.array([now]))
    described = FramewiseConditioner(CONFIG)(batch.history, batch.history_poses, batch.actions, torch.zeros(1, 0))
    frames = [2, 2, 2, 5, 8, 11, 14, 15, 16, 17, 18]
    cartesian = annotation["observation.state.cartesian_position"]
    gripper = annotation["observation.state.gripper_position"]
    lower, upper = np.array(CONFIG.pose_lower), np.array(CONFIG.pose_upper)
    for slot, frame in enumerate(frames):
        state = np.array([*cartesian[3 * frame], gripper[3 * frame]])
        wanted = np.clip(2 * (state - lower) / (upper - lower) - 1, -1, 1)
        assert described.poses[0, slot].numpy() == pytest.approx(wanted, abs=1e-5), slot
    views = [torch.load(droid / part["latent_video_path"], weights_only=True) for part in annotation["latent_videos"]]
    for slot, frame in enumerate(frames[:7]):
        stacked = described.slots[0, slot] if slot < 6 else described.current[0, 0]
        for view, rows in enumerate((slice(0, 24), slice(24, 48), slice(48, 72))):
            assert torch.allclose(stacked[:, rows], views[view][frame].float(), atol=5e-3), (slot, view)


def test_slots_and_poses_of_a_small_recording_by_hand(tmp_path: Path):
    """As above without the published episodes; `write_real` paints 20 (x - 0.5) + view on every latent."""
    root = write_real(tmp_path, episodes=1)
    split = LatentEpisodes(root, "train", shortest=17)
    clips = ObservedClips(split.spans, split.poses, split.latents, CONFIG.history_offsets, CONFIG.horizon)
    states = np.array(json.loads((root / "annotation" / "train" / "0.json").read_text())["states"])
    batch = clips.at(np.array([12]))
    described = FramewiseConditioner(CONFIG)(batch.history, batch.history_poses, batch.actions, torch.zeros(1, 0))
    frames = [0, 0, 0, 3, 6, 9, 12, 13, 14, 15, 16]
    # x from .26767 to .78105, gripper from 0 to .99119: to [-1, 1]; the recording stays within
    wanted = [2 * (states[frame, 0] - 0.2676655) / 0.5133852 - 1 for frame in frames]
    assert described.poses[0, :, 0].tolist() == pytest.approx(wanted, abs=1e-5)
    wanted = [min(1.0, 2 * states[frame, 6] / 0.9911894 - 1) for frame in frames]
    assert described.poses[0, :, 6].tolist() == pytest.approx(wanted, abs=1e-5)
    pictures = torch.cat([described.slots, described.current], dim=1)[0]
    for slot, frame in enumerate(frames[:7]):
        for view in range(3):
            painted = pictures[slot, :, 24 * view : 24 * view + 24]
            assert painted.mean().item() == pytest.approx(20 * (states[frame, 0] - 0.5) + view, abs=2e-3)
    assert clips.starts.tolist() == [12, 13, 14, 15], "a clip needs 12 frames before and 4 behind"


def test_every_third_state_is_that_of_a_frame(droid: Path):
    for file in sorted((droid / "annotation" / "val").glob("*.json")):
        values = json.loads(file.read_text())
        frames = np.array(values["states"])
        every_third = np.array(values["observation.state.cartesian_position"])[::3]
        assert np.abs(frames[: len(every_third), :6] - every_third[: len(frames)]).max() < 1e-6, file.name


def test_features_for_the_heads_are_those_of_a_calibrated_cell(scene):
    history, poses, actions = scene
    cameras = random_bundle_config()
    with_cameras = Conditioner(cameras.cameras, cameras.image_size, (6, 10))(history, poses, actions)
    without = PoseConditioner()(history, poses, actions)
    assert torch.allclose(without.features, with_cameras.features, atol=1e-6)
    assert without.maps.shape == with_cameras.maps.shape
    assert without.advected.shape == with_cameras.advected.shape
    assert not without.maps.any()
