"""World-model hacking: how often the planner is drawn to an object that its models never saw.

    python benchmarks/hallucination.py --bundle models/bundles/tabletop --states 60 --out runs/hallucination
    python benchmarks/hallucination.py --sweep --first-seed 3000000 --states 60 --out runs/hallucination-sweep

The simulator puts one or two strangers on the table. The planner is asked for every task object, on the table or not. A
plan is *drawn* to a stranger when most of the region that earned the winner's reward lies where a stranger truly is, in
the fixed cameras, and less of it where the object is that was asked for: the reward is hallucinated. It *goes* there
when the winner's motion also brings the tool nearer to a stranger, and more so than to what was asked for.

Imagination does not depend on the weighting, so one run judges all of them: with uncertainty (the planner's settings),
with that of the video alone (`weighting.py`) or of things alone (`strangeness.py`), without either, and with
``--sweep`` every shape of w, kappa and lambda of `KAPPAS` and `LAMBDAS`, and the odds of `STRANGE`. Choose settings on
other seeds than those that you report.
``OUT/*.png`` shows the plans that are drawn without uncertainty, a row for each fixed camera: the frame, the imagined
winner, its hallucinated relevance, the uncertainty of the video, what is unknown, the relevance as weighted. The one in
`docs/planner.md` is ``0-fish.png`` of ``--first-seed 3000000 --states 1``, at 0.6 of its size.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from local_planners import plan_request
from records import Records
from torch import Tensor
from torch.nn import functional

from models.bundle import Bundle
from plan_protocol.server import Context
from planner_server.approach import beyond, metres_aside
from planner_server.centring import centres_of
from planner_server.config import PlannerConfig
from planner_server.evaluation.ranking import Scripted
from planner_server.evaluation.simulator import OVERSAMPLING, Situation
from planner_server.evaluation.truth import image_points
from planner_server.ground import place_of
from planner_server.judgement import Judgement
from planner_server.options import DEFAULT_BUNDLE
from planner_server.planner import Planner
from planner_server.render import colour_map
from planner_server.scoring import cell_centres, on_cells, sureness
from planner_server.service import build_planner, open_bundle
from planner_server.strangeness import believed
from planner_server.weighting import SHAPES, confidence_weight
from robot_bridge.trials.statistics import rate
from robot_model.conventions import PINCH_OFFSET, pose_to_matrix
from robot_model.ros_names import CAMERAS
from sim_cell.what_if import WhatIf

TASKS = ("measuring tape", "fish", "pea", "carrot", "towel")
SITUATIONS = ("far", "near")
RADIUS = 0.045
"""Metres around an object's middle that count as its place in a picture."""
NEARER = 0.01
"""Metres by which a motion must bring the tool nearer to count as going somewhere."""
KAPPAS = {"exp": (0.3, 1.0, 2.0, 4.0, 8.0), "linear": (0.5, 1.0), "rational": (1.0, 3.0, 10.0), "power": (0.5, 1, 2)}
LAMBDAS = (1.0, 2.0, 4.0, 8.0)
STRANGE = (-3.0, -2.5, -2.0, -1.0, 0.0)
ENLARGED = 4
"""Screen pixels per pixel of a view."""


def main(argv: list[str]) -> None:
    """Measure what is missing, print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, metavar="DIR")
    options.add_argument("--states", type=int, default=30, metavar="N", help="scenes (%(default)s)")
    options.add_argument("--first-seed", type=int, default=1_500_000, help="of the scenes (%(default)s)")
    options.add_argument("--sweep", action="store_true", help="also every w, kappa and lambda")
    options.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of PlannerConfig")
    options.add_argument("--out", type=Path, default=Path("runs/hallucination"), metavar="DIR")
    options.add_argument("--threads", type=int, default=1, metavar="N")
    arguments = options.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)

    bundle = open_bundle(arguments.bundle, "cpu")
    config = PlannerConfig(**{name: json.loads(value) for name, value in (e.split("=", 1) for e in arguments.set)})
    weightings = {
        "with": config,
        "of the video alone": replace(config, strange=inf),
        "of things alone": replace(config, doubt=0.0),
        "without": config.without_uncertainty(),
        **(sweep(config) if arguments.sweep else {}),
    }
    conditions = {
        "bundle": bundle.hash,
        "config": asdict(config),
        "seed": arguments.first_seed,
        "weightings": sorted(weightings),
    }
    records = Records(arguments.out / "states.jsonl", conditions)
    script = Scripted()
    planner = build_planner(bundle, config, policy=script)
    cell = OpenCell(bundle)
    for number in range(arguments.states):
        if number in records.done:
            continue
        seed, kind = arguments.first_seed + number, SITUATIONS[number % len(SITUATIONS)]
        scene = cell.scene(kind, seed)
        script.nominal = scene.situation.nominal
        plans = [
            measure(planner, bundle, scene, task, seed, weightings, arguments.out / f"{number}-{task}.png")
            for task in TASKS
        ]
        records.add({"number": number, "kind": kind, "strangers": scene.strangers, "plans": plans})
        print(f"{len(records.done)} of {arguments.states} scenes", file=sys.stderr, end="\r", flush=True)
    print(table([records.done[number] for number in range(arguments.states)], weightings))


def sweep(config: PlannerConfig) -> dict[str, PlannerConfig]:
    """Every weighting, by a name that says what it is."""
    shapes = [("exp", 0.0), *((shape, kappa) for shape in SHAPES for kappa in KAPPAS[shape])]
    odds = {f"strange {odds:g}": replace(config, strange=odds) for odds in STRANGE}
    return odds | {
        f"{shape} {kappa:g}, lambda {centring:g}": replace(config, weighting=shape, doubt=kappa, centring=centring)
        for (shape, kappa), centring in product(shapes, LAMBDAS)
    }


@dataclass(frozen=True)
class Scene:
    """A situation with strangers, and where things truly are.

    Attributes:
        situation: What a robot would know.
        fixed: ``(V,)`` which views are of cameras that do not move.
        places: By object, ``(3,)`` metres in the base frame.
        masks: By object, ``(V, a, b)`` cells of a relevance map where a fixed camera shows it.
        strangers: Their names.
    """

    situation: Situation
    fixed: np.ndarray
    places: Mapping[str, np.ndarray]
    masks: Mapping[str, Tensor]
    strangers: tuple[str, ...]

    @property
    def on_strangers(self) -> Tensor:
        """Cells ``(V, a, b)`` of all strangers."""
        return torch.stack([self.masks[name] for name in self.strangers]).amax(0)


class OpenCell(WhatIf):
    """The simulator in this process, with a look at what no class id tells: where the strangers are."""

    def __init__(self, bundle: Bundle) -> None:
        """A cell for a bundle's pictures."""
        spec = bundle.config
        self._spec = spec
        super().__init__(OVERSAMPLING * spec.image_size[1], OVERSAMPLING * spec.image_size[0])
        with torch.no_grad():
            blank = torch.zeros((1, 1, len(spec.views), *spec.image_size, 3), dtype=torch.uint8)
            self._cells = bundle.semantic.relevance(bundle.world_model.encode(blank), TASKS[0]).shape[-2:]

    def scene(self, kind: str, seed: int) -> Scene:
        """A situation with one or two strangers, the same for the same arguments."""
        situation = self.situation(kind, seed, "stranger")
        fixed = np.array([not camera.rides for camera in self._spec.cameras])
        places = {name: self._cell.position(name) for name in (*self._cell.visible, *self._cell.strangers)}
        return Scene(situation, fixed, places, self._masks(places, situation.poses[-1], fixed), self._cell.strangers)

    def situation(self, kind: str, seed: int, look: str) -> Situation:
        """What a robot would know, as `planner_server.evaluation.simulator.Simulator` has it."""
        spec = self._spec
        arrays = self.begin(kind, seed, look, spec.history_offsets, spec.horizon)
        views = [CAMERAS.index(view) for view in spec.views]
        images = [
            [cv2.resize(frame[view], spec.image_size[::-1], interpolation=cv2.INTER_AREA) for view in views]
            for frame in arrays.pop("images")
        ]
        return Situation(
            kind=kind,
            seed=seed,
            target=str(arrays.pop("target")),
            class_names=tuple(arrays.pop("class_names").tolist()),
            images=np.array(images),
            classes=arrays.pop("classes")[views],
            **arrays,
        )

    def _masks(self, places: Mapping[str, np.ndarray], pose: np.ndarray, fixed: np.ndarray) -> dict[str, Tensor]:
        """By object: cells ``(V, a, b)`` of the fixed views within `RADIUS` of its middle, and of no nearer one."""
        corners = np.vstack([np.zeros(3), RADIUS * np.eye(3)])
        points = np.stack(list(places.values()))[:, None] + corners
        poses = np.broadcast_to(pose, (*points.shape[:2], 7))
        seen = image_points(self._spec.cameras, self._spec.image_size, poses, points)  # (n, 4, V, 2)
        radii = np.linalg.norm(seen[:, 1:] - seen[:, :1], axis=-1).max(1)
        centres = cell_centres(self._cells, torch.zeros(0)).numpy()
        distances = np.linalg.norm(centres - seen[:, 0, :, None, None], axis=-1)  # (n, V, a, b)
        nearest = distances == distances.min(0)
        inside = (distances <= radii[..., None, None]) & nearest & fixed[:, None, None]
        return {name: torch.from_numpy(cells).float() for name, cells in zip(places, inside, strict=True)}


def measure(
    planner: Planner,
    bundle: Bundle,
    scene: Scene,
    task: str,
    seed: int,
    weightings: Mapping[str, PlannerConfig],
    picture: Path,
) -> dict[str, Any]:
    """One plan: by weighting, whether it is drawn to a stranger."""
    situation = replace(scene.situation, target=task)
    judged = planner.judge(plan_request(bundle, situation, seed), Context("benchmark", "benchmark"))
    real = judged.evidence.seen
    under = {name: reweighted(judged, bundle, config) for name, config in weightings.items()}
    found: dict[str, Any] = {name: verdict(under[name], scene, task, config) for name, config in weightings.items()}
    on_strangers = scene.on_strangers
    if found["without"]["drawn"]:
        draw(bundle, planner.config, under["without"], weightings, scene, picture)
    return {
        "task": task,
        "present": task in scene.places,
        "real_on_stranger": round(float((real * on_strangers).max()), 4),
        "imagined_on_stranger": round(float((judged.evidence.relevance * on_strangers).max()), 4),
        "h_on_stranger": round(mean_h(judged, on_strangers), 4),
        "h_on_target": round(mean_h(judged, scene.masks[task]), 4) if task in scene.masks else None,
        "least_h": round(float(judged.evidence.h.mean((1, 2, 3, 4)).min()), 4),
        "weightings": found,
    }


def reweighted(judged: Judgement, bundle: Bundle, config: PlannerConfig) -> Judgement:
    """The same imagined futures under another weighting, from which follows where what is looked for lies."""
    spec, evidence = bundle.config, judged.evidence
    seen = believed(evidence.seen, evidence.strange.now, config)
    trusted = (seen * sureness(evidence.h[:, 0], seen.shape, config)).numpy()
    pose, poses = judged.scene.poses[0, -1].double().numpy(), torch.as_tensor(evidence.actions).float()
    place = place_of(trusted, spec.cameras, spec.image_size, pose, config.visible, config.region)
    aside = metres_aside(poses, place)
    centres = centres_of(spec.cameras, spec.image_size, poses, beyond(aside, judged.phase.at_goal, config))
    return replace(judged, evidence=replace(evidence, centres=centres, aside=aside), place=place)


def mean_h(judged: Judgement, cells: Tensor) -> float:
    """Mean uncertainty of the candidates' futures over cells ``(V, a, b)``."""
    h = judged.evidence.h
    fine = on_cells(h.flatten(0, 1), cells.shape[-2:])
    return float((fine * cells).sum() / (len(fine) * cells.sum()))


def verdict(judged: Judgement, scene: Scene, task: str, config: PlannerConfig) -> dict[str, Any]:
    """The winner under one weighting."""
    evidence = judged.evidence
    scores = evidence.scores(config)
    best = int(evidence.reward(scores, config).argmax())
    frame = int(scores.frame[best])
    region = winning_region(judged, config)[best, frame]
    shares = {}
    target = scene.masks.get(task, torch.zeros_like(scene.on_strangers))
    for name, cells in (("stranger", scene.on_strangers), ("target", target)):
        per_view = (region * cells).sum((-2, -1)) / region.sum((-2, -1)).clamp(min=1e-9)
        views = scores.views * torch.from_numpy(scene.fixed)
        shares[name] = float((per_view * views).sum() / views.sum().clamp(min=1e-9))
    stranger = max(approach(evidence.actions[best], scene, name) for name in scene.strangers)
    wanted = approach(evidence.actions[best], scene, task)
    drawn = shares["stranger"] > 0.5 and shares["stranger"] > shares["target"]
    return {
        "chosen": judged.proposals[best].name,
        "drawn": drawn,
        "goes": drawn and stranger > NEARER and stranger > wanted,
        "progress": round(wanted, 4),
        "possible": round(max(approach(chunk, scene, task) for chunk in evidence.actions), 4),
    }


def winning_region(judged: Judgement, config: PlannerConfig) -> Tensor:
    """Weighted relevance ``(B, H, V, a, b)`` of the region that earns the reward, as `scoring.score` takes it."""
    weighted = modulated(judged, config)
    return weighted * (weighted >= config.region * weighted.amax((-2, -1), keepdim=True))


def modulated(judged: Judgement, config: PlannerConfig) -> Tensor:
    """w(h) R of known things, ``(B, H, V, a, b)``."""
    relevance, h = believed(judged.evidence.relevance, judged.evidence.strange.later, config), judged.evidence.h
    fine = on_cells(h.flatten(0, 1), relevance.shape[-2:]).view_as(relevance)
    return relevance * confidence_weight(fine, config.doubt, config.weighting)


def approach(chunk: np.ndarray, scene: Scene, name: str) -> float:
    """Metres by which a chunk ``(H, 7)`` brings the tool nearer to an object at best, seen from above."""
    if name not in scene.places:
        return 0.0
    poses = np.vstack([scene.situation.poses[-1], chunk])
    tool = (pose_to_matrix(poses) @ PINCH_OFFSET)[:, :2, 3]
    distances = np.linalg.norm(tool - scene.places[name][:2], axis=-1)
    return float(distances[0] - distances.min())


def draw(
    bundle: Bundle,
    config: PlannerConfig,
    judged: Judgement,
    weightings: Mapping[str, PlannerConfig],
    scene: Scene,
    file: Path,
) -> None:
    """One row per fixed view, see the module's docstring."""
    evidence = judged.evidence
    scores = evidence.scores(weightings["without"])
    best = int(evidence.reward(scores, weightings["without"]).argmax())
    frame = int(scores.frame[best])
    with torch.no_grad():
        actions = torch.as_tensor(evidence.actions[best : best + 1], dtype=torch.float32)
        imagined = judged.scene.imagine(bundle.world_model, actions, config.flow_steps)
        pictures = bundle.world_model.decode(imagined.latents)[0, frame].numpy()
    maps = (
        evidence.relevance[best, frame],
        evidence.h[best, frame],
        torch.sigmoid(evidence.strange.later - config.strange),
        modulated(judged, weightings["with"])[best, frame],
    )
    rows = []
    for view in np.flatnonzero(scene.fixed):
        size = tuple(ENLARGED * side for side in pictures.shape[1:3])
        panels = [enlarge(image, size) for image in (scene.situation.images[-1, view], pictures[view])]
        for values in maps:
            fine = functional.interpolate(values[None, None, view], size=size, mode="bilinear", align_corners=False)
            colours = 255 * colour_map(fine[0, 0].clamp(0, 1))
            panels.append((0.4 * panels[1] + 0.6 * colours.numpy()).astype(np.uint8))
        rows.append(np.concatenate([np.pad(panel, ((2, 2), (2, 2), (0, 0))) for panel in panels], 1))
    cv2.imwrite(str(file), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))


def enlarge(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """The picture in ``size`` (rows, columns)."""
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_CUBIC)


def table(records: list[dict[str, Any]], weightings: Mapping[str, PlannerConfig]) -> str:
    """Rates with Wilson's 95 % intervals, and what the winner's motion is worth."""
    every = [plan for record in records for plan in record["plans"]]
    lines = []
    for where, present in (("on the table", True), ("not on the table", False)):
        plans = [plan for plan in every if plan["present"] is present]
        if not plans:
            continue
        real, imagined = (sum(p[f"{kind}_on_stranger"] >= 0.3 for p in plans) for kind in ("real", "imagined"))
        lines += [
            f"asked for what is {where}: {len(plans)} plans in {len(records)} scenes",
            f"  taken for it (relevance 0.3): a stranger in {real} real pictures, in {imagined} imagined futures",
            f"  mean h on strangers {mean(plans, 'h_on_stranger'):.3f}"
            + (f", on what was asked for {mean(plans, 'h_on_target'):.3f}" if present else "")
            + f"; of the surest candidate's video {mean(plans, 'least_h'):.3f}, at most "
            + f"{max(plan['least_h'] for plan in plans):.3f} (`unsure` must be above)",
            f"  {'weighting':26}{'drawn':>7}{'95 %':>18}{'goes':>7}" + (f"{'towards it':>18}" if present else ""),
        ]
        lines += [row(name, [plan["weightings"][name] for plan in plans], present) for name in weightings]
    return "\n".join(lines)


def row(name: str, found: list[dict[str, Any]], present: bool) -> str:
    """One weighting over all plans of a group."""
    drawn, goes = rate([bool(v["drawn"]) for v in found]), np.mean([v["goes"] for v in found])
    low, high = drawn.wilson or (0.0, 0.0)
    text = f"  {name:26}{drawn.value or 0.0:7.1%}{f'[{low:.1%}, {high:.1%}]':>18}{goes:7.1%}"
    if present:
        progress, possible = (1e3 * np.mean([v[key] for v in found]) for key in ("progress", "possible"))
        text += f"{progress:9.0f} of {possible:.0f} mm"
    return text


def mean(plans: list[dict[str, Any]], key: str) -> float:
    """Over plans."""
    return float(np.mean([plan[key] for plan in plans]))


if __name__ == "__main__":
    main(sys.argv[1:])
