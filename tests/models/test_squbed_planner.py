from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from models.conditioning import pose_matrix
from models.interfaces import Imagined
from models.uncertainty import uq_cli
from models.uncertainty.squbed import fit_vmf
from models.uncertainty.squbed.bundle_parts import HEIGHT, SceneVideos, flight
from models.uncertainty.squbed.decomposition import fit_regions
from models.uncertainty.squbed.interfaces import Task
from models.uncertainty.squbed.planner_reading import chunk_directions, region_directions
from robot_model.conventions import PINCH_OFFSET

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
CLEAR = Task("put the carrot in the bowl")
POSE = torch.tensor([0.45, 0.0, 0.35, torch.pi, 0.0, 0.0, 0.0])


class OneScene:
    name = "one"

    def start(self, task: Task) -> tuple[torch.Tensor, torch.Tensor]:
        history = torch.randn(1, 2, 48, 18, 10, generator=torch.Generator().manual_seed(0))
        return history, POSE.expand(1, 2, 7)


class Pointing:
    """A semantic reward that sees a carrot at one point of the table in every fixed view, and nothing else at all."""

    def __init__(self, bundle, point: torch.Tensor) -> None:
        pixels, _ = bundle.world_model.conditioner.heat_maps.project(point[None, None], pose_matrix(POSE[None]))
        self.cells = (pixels[0, :, 0] / 2).round().long()

    def relevance(self, latents: torch.Tensor, phrase: str) -> torch.Tensor:
        found = torch.zeros(1, 1, 3, 24, 40)
        for view, (column, row) in enumerate(self.cells[:2]):
            found[0, 0, view, row - 1 : row + 1, column - 1 : column + 1] = float(phrase == "carrot")
        return found


def tool(poses: torch.Tensor) -> torch.Tensor:
    return (pose_matrix(poses) @ torch.tensor(PINCH_OFFSET[:, 3].copy()).float())[..., :3]


def test_chunks_go_where_the_thing_is_and_anywhere_for_what_is_nowhere(bundle):
    point = torch.tensor([0.52, 0.12, HEIGHT])
    videos = SceneVideos(replace(bundle, semantic=Pointing(bundle, point)), OneScene())
    aims = [videos.imagine(CLEAR, text, 30, 0, chunks=30).actions[:, -1] for text in ("grasp the carrot", "grasp it")]
    spread = [tool(ends)[:, :2].std(0).norm() for ends in aims]
    assert spread[0] < spread[1] / 3
    straight = tool(flight(bundle, POSE, point)[-1:])[0, :2]
    assert (tool(aims[0])[:, :2].median(0).values - straight).norm() < 0.03


def test_futures_of_one_chunk_differ_by_noise_alone(bundle):
    videos = SceneVideos(bundle, OneScene())
    one, own = (videos.imagine(CLEAR, "grasp the zorb", 4, 1, chunks=chunks) for chunks in (1, 4))
    assert (one.actions == one.actions[:1]).all()
    assert (own.actions != own.actions[:1]).any()
    assert (one.latents[0] != one.latents[1]).any()
    again = videos.imagine(CLEAR, "grasp the zorb", 4, 1)
    assert (again.latents == one.latents).all()


def test_a_planner_reads_spread_of_motions_and_of_futures(scene, bundle):
    history, poses, _ = scene
    rng = torch.Generator().manual_seed(0)

    def chunks(spread: float) -> torch.Tensor:
        moves = 0.1 * torch.tensor([1.0, 0, 0]) + spread * torch.randn(10, 3, generator=rng)
        actions = poses[:1, -1:].expand(10, 5, 7).clone()
        actions[..., :3] += torch.linspace(0.2, 1, 5)[None, :, None] * moves[:, None]
        return actions

    def futures(spread: float) -> Imagined:
        latents = history[:1, -1:] + spread * torch.randn(10, 5, 48, 18, 10, generator=rng)
        return Imagined(latents, history[:1].expand(10, *history.shape[1:]), poses[:1].expand(10, 2, 7), chunks(0.01))

    measured = poses[:1].expand(10, 2, 7)
    entropies = [fit_vmf(chunk_directions(measured, chunks(spread))).entropy for spread in (0.001, 0.01, 0.1)]
    assert entropies == sorted(entropies)
    still = chunk_directions(measured, poses[:1, -1:].expand(10, 5, 7))
    assert still[:, -1] == pytest.approx(1.0)
    seen = [region_directions(futures(spread), bundle.semantic) for spread in (0.01, 0.1, 1.0)]
    assert seen[0].shape == (10, 3 * 3 * 5, 2 * 8)
    entropies = [np.mean([fit.entropy for fit in fit_regions(directions)]) for directions in seen]
    assert entropies == sorted(entropies)


def test_a_change_in_one_view_is_seen_in_its_regions_alone(scene, bundle):
    history, poses, actions = scene
    latents = history[:1, -1:].expand(2, 5, 48, 18, 10).clone()
    latents[1, :, :, :6] += torch.randn(48, 6, 10, generator=torch.Generator().manual_seed(0))
    views = region_directions(Imagined(latents, history, poses, actions), bundle.semantic).reshape(2, 3, 15, -1)
    assert (np.abs(views[1, 0] - views[0, 0]).max(-1) > 1e-3).all()
    assert np.abs(views[1, 1:] - views[0, 1:]).max() < 1e-6


def test_the_planners_reading_by_command(bundle_path: Path, dataset: Path, tmp_path: Path, capsys, monkeypatch):
    places = {"carrot": torch.tensor([0.4, 0.25, 0.03]), "pea": torch.tensor([0.6, -0.25, 0.03])}
    monkeypatch.setattr(SceneVideos, "_spots", lambda self, frame, pose, phrase, count, rng: places[phrase][None])
    file = tmp_path / "prompts.jsonl"
    rows = [
        {"prompt": "put the object in the bowl", "objects": ["carrot", "pea"], "accuracy": 0.1},
        {"prompt": CLEAR.prompt, "accuracy": 0.9, "frame": 5},
    ]
    file.write_text("\n".join(json.dumps(row) for row in [*rows, {"prompt": "grasp the pea", "accuracy": 0.8}]))
    arguments = ["squbed", "--reading", "planner", "--prompts", str(file), "--out", str(tmp_path), "--threads", "1"]
    arguments += ["--bundle", str(bundle_path), "--data", str(dataset), "--refinements", "4", "--videos", "3"]
    assert uq_cli.main(arguments) == 0
    results = json.loads((tmp_path / "squbed.json").read_text())
    assert results["parts"]["embedder of Z"] == "chunk of motion"
    assert results["kendall"]["total"]["given"]["n"] == 3
    vague, clear, _ = results["prompts"]
    assert vague["aleatoric"] > clear["aleatoric"]  # one object, one motion
    assert not (tmp_path / "samples").exists()
    assert "total with given: tau" in capsys.readouterr().out


def pairs(count: int, gap: float) -> list[dict]:
    """Made-up pairs: ambiguous above specific and unseen above familiar by ``gap``, accuracy falling with the total."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        base, tasks = rng.normal(0, 3), []
        for world in ("familiar", "unseen"):
            for kind in ("specific", "ambiguous"):
                aleatoric = rng.normal(gap if kind == "ambiguous" else 0, 0.5)
                epistemic = base + rng.normal(gap if world == "unseen" else 0, 0.5)
                accuracy = {"semantic": -aleatoric - epistemic + rng.normal(0, 0.5)}
                named = ["put the carrot in the bowl"] * 3
                refined = (
                    named if kind == "specific" else [*named, "put the pea in the bowl", "put the fish in the bowl"]
                )
                tasks.append(
                    {"world": world, "kind": kind, "aleatoric": aleatoric, "epistemic": epistemic, "refined": refined}
                    | {"prompts_epistemic": epistemic, "accuracy": accuracy, "same_motion": accuracy}
                )
        found.append({"stranger": "banana", "tasks": tasks, "one_proposal": {"familiar": base, "unseen": base + gap}})
    return found


def test_the_benchmarks_table_finds_the_orderings_that_are_there():
    from squbed_table import as_text, summary

    found = summary(pairs(20, 1.0))
    assert all(row["p"] < 0.01 for name, row in found["orderings"].items() if "prompts" not in name)
    total = found["kendall"]["planner: total with accuracy"]["semantic"]
    assert total["significant"]
    assert total["n"] == 80
    assert total["interval"][0] < total["tau"] < total["interval"][1] < 0
    assert "20 pairs of scenes, 80 tasks" in as_text(found)
    turned = summary(pairs(20, -1.0))["orderings"]
    assert all(row["p"] > 0.5 for name, row in turned.items() if "prompts" not in name)


def test_a_strangers_scene_differs_from_its_relatives_in_one_object():
    from squbed_scenes import SwapCell

    cell = SwapCell(SimpleNamespace(image_size=(24, 40), history_offsets=(-1, 0), views=("left", "right", "wrist")))
    familiar, unseen = (cell.lay(3, "banana", unseen=unseen) for unseen in (False, True))
    assert (familiar.target, unseen.target) == ("carrot", "banana")
    assert set(familiar.objects) - set(unseen.objects) == {"carrot"}
    assert np.linalg.norm(familiar.place - unseen.place) < 0.02
    assert familiar.poses == pytest.approx(unseen.poses, abs=1e-3)
    different = (familiar.images[-1].astype(int) - unseen.images[-1] != 0).any(-1)
    assert 0.005 < different[:2].mean() < 0.2  # the fixed views
    film = cell.film(np.repeat(unseen.poses[-1:], 2, axis=0)[None])
    assert film.shape == (1, 2, 3, 24, 40, 3)
