"""The cache of latents on disk: the same frames as in memory, written once, whatever interrupts it."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from real_footage import add_latents, write_real

from models.errors import DatasetError
from models.real import latent_cache
from models.real.clips import ObservedClips
from models.real.latent_cache import CachedLatents
from models.real.latents import LatentEpisodes


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_real(tmp_path_factory.mktemp("real"), episodes=5)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the episodes whose latents were read."""
    names: list[str] = []
    read = latent_cache.read_latents
    monkeypatch.setattr(latent_cache, "read_latents", lambda episode: names.append(episode.name) or read(episode))
    return names


def test_the_cache_holds_what_memory_would(real: Path, tmp_path: Path, reads: list[str]):
    for _ in range(2):
        cached, whole = CachedLatents(real, "train", 12, tmp_path), LatentEpisodes(real, "train", 12)
        assert cached.spans == whole.spans
        assert np.array_equal(cached.latents, whole.latents)
        assert np.array_equal(cached.poses, whole.poses)
        assert cached.summary() == whole.summary()
        assert [episode.text for episode in cached.episodes] == ["put the carrot in the bowl"] * 5
    assert reads == ["0", "1", "2", "3", "4"], "the second time nothing is read again"
    assert not (real / ".cache").exists()


@pytest.mark.parametrize("damage", ["half a line", "rows without a line", "a line without rows"])
def test_what_an_interrupted_run_left_is_cut_off_and_done_again(real: Path, tmp_path: Path, reads, damage: str):
    whole = np.array(CachedLatents(real, "train", 12, tmp_path).latents)
    folder = tmp_path / "latents" / "train"
    index, latents = folder / "index.jsonl", folder / "latents.f16"
    lines = index.read_bytes().splitlines(keepends=True)
    if damage == "half a line":
        index.write_bytes(b"".join(lines[:4]) + lines[4][:20])
    elif damage == "rows without a line":
        index.write_bytes(b"".join(lines[:4]))
    else:
        os.truncate(latents, latents.stat().st_size - 5)
    del reads[:]
    again = CachedLatents(real, "train", 12, tmp_path)
    assert reads == ["4"]
    assert np.array_equal(again.latents, whole)
    assert latents.stat().st_size == whole.nbytes


def test_episodes_may_come_go_change_and_be_mended(tmp_path: Path, reads: list[str]):
    root = write_real(tmp_path / "data", episodes=4)
    late = root / "latent_videos/train/3/1.pt"
    late.rename(late.with_suffix(".later"))
    first = CachedLatents(root, "train", 12)
    assert first.summary() == "train: 3 episodes used, 1 skipped: 1 latents missing"
    late.with_suffix(".later").rename(late)
    (root / "annotation/train/0.json").unlink()
    changed = root / "annotation/train/1.json"
    changed.write_text(json.dumps({**json.loads(changed.read_text()), "success": 1, "texts": ["push"]}))
    add_latents(root, "train", "1", np.full(20, 9.0))
    del reads[:]
    second = CachedLatents(root, "train", 12)
    assert reads == ["1", "3"]
    assert [episode.name for episode in second.episodes] == ["1", "2", "3"]
    assert (second.episodes[0].text, second.episodes[0].success) == ("push", True)
    for (start, length), name in zip(second.spans, ("1", "2", "3"), strict=True):
        frames = torch.load(root / f"latent_videos/train/{name}/0.pt", weights_only=True)
        assert np.allclose(second.latents[start : start + length, :, :24], frames, atol=1e-2)


def test_neither_opening_nor_drawing_needs_memory_for_the_dataset(real: Path, tmp_path: Path):
    size = CachedLatents(real, "train", 12, tmp_path).latents.nbytes
    tracemalloc.start()
    try:
        cached = CachedLatents(real, "train", 12, tmp_path)
        clips = ObservedClips(cached.spans, cached.poses, cached.latents, (-12, -9, -6, -3, 0), 4)
        batch = clips.at(clips.draw(1, np.random.default_rng(0)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert batch.history.shape == (1, 5, 4, 72, 40)
    assert isinstance(cached.latents, np.memmap)
    assert peak < size / 2, "a clip of 9 frames in single precision, of 100 in half precision"


def test_a_dataset_without_episodes_and_a_place_that_cannot_be_written_are_told(real: Path, tmp_path: Path):
    with pytest.raises(DatasetError, match=r"no usable episode with latents in split val .*2 too short"):
        CachedLatents(real, "val", 50, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="choose --cache DIR"):
        CachedLatents(real, "train", 12, tmp_path / "file")
