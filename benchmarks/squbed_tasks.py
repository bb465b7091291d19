"""Is S-QUBED right? Orderings and rank correlations over tasks in simulated scenes whose outcome is known.

    python benchmarks/squbed_tasks.py --pairs 50 --out runs/squbed-tasks

Scenes come in pairs: in the second, something that no training recording shows lies where the first has its nearest
familiar relative. Each is asked for that object by name (*specific*) and for "the object" (*ambiguous*): four tasks.
A task has its uncertainty in both readings: the planner's (Z the chunk of motion, V what is imagined of it) and, named
*prompts*, the published one (Z the refined prompt, V what is imagined of any chunk it leads to).

Accuracy is taken as in the paper (A.1), against one true video per task: what the simulator shows when the arm flies
to the object that was meant. ``same motion`` compares with what truly comes of the imagined chunk itself instead, which
leaves the choice of the motion out. SSIM and PSNR are of decoded videos, one of each of `PICTURED` refined prompts;
``semantic`` is the score in the manner of CLIP: the cosine, by region, of the features with which the bundle's semantic
reward finds objects, over all videos; LPIPS needs its published weights (``--lpips``).

``one proposal`` is epistemic uncertainty of the flight to where the object lies, from the same noise, in both scenes.
p-values of orderings are one-sided, Wilcoxon's signed-rank test over pairs. Interrupted runs go on where they were.
Seeds from 2,000,000 on were used for choosing the embedder; from 3,000,000 on for nothing but the report.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from records import Records
from squbed_figure import draw
from squbed_scenes import RELATIVES, Seen, SwapCell
from squbed_table import as_text, summary
from torch import Tensor

from models.bundle import Bundle, load_bundle
from models.bundle_cli import DEFAULT_BUNDLE
from models.evaluation.lpips import Lpips, load_lpips
from models.interfaces import Imagined
from models.uncertainty.squbed.accuracy import pixel_accuracies
from models.uncertainty.squbed.bundle_parts import HEIGHT, SceneVideos, decoded, flight, futures
from models.uncertainty.squbed.decomposition import fit_regions
from models.uncertainty.squbed.interfaces import Task
from models.uncertainty.squbed.offline import NEVER_MEANT, TemplateRefiner
from models.uncertainty.squbed.planner_reading import region_directions, uncertainty
from models.uncertainty.squbed.samples import Amounts, seed_of

FIRST_SEED = 3_000_000
WORLDS = ("familiar", "unseen")
AMOUNTS = Amounts(refinements=10, videos=5)
OPEN_PROMPTS, OPEN_VIDEOS = 5, 5
"""The published reading takes fewer refined prompts; each video is of a chunk of its own."""
PICTURED, FILMED = 3, 1
"""Refined prompts of which a video is decoded, and of which the simulator carries out the chunk."""
SAME = 30
"""Videos of the one proposal that both scenes of a pair share."""


def main(argv: list[str]) -> None:
    """Measure what is missing, print the table, write summary and figure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, metavar="DIR")
    options.add_argument("--pairs", type=int, default=50, metavar="N", help="of scenes, four tasks each (%(default)s)")
    options.add_argument("--first-seed", type=int, default=FIRST_SEED, help="of the scenes (%(default)s)")
    options.add_argument("--lpips", type=Path, metavar="DIR", help="folder with the published LPIPS weights")
    options.add_argument("--out", type=Path, default=Path("runs/squbed-tasks"), metavar="DIR")
    options.add_argument("--threads", type=int, default=1, metavar="N")
    arguments = options.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)

    bundle = load_bundle(arguments.bundle)
    lpips = load_lpips(arguments.lpips) if arguments.lpips else None
    conditions = {
        "bundle": bundle.hash,
        "seed": arguments.first_seed,
        "amounts": [*asdict(AMOUNTS).values(), OPEN_PROMPTS, OPEN_VIDEOS, PICTURED, FILMED, SAME],
        "lpips": lpips is not None,
    }
    records = Records(arguments.out / "pairs.jsonl", conditions)
    cell = SwapCell(bundle.config)
    for number in range(arguments.pairs):
        if number not in records.done:
            records.add({"number": number, **measure(cell, bundle, arguments.first_seed + number, lpips)})
            print(f"{len(records.done)} of {arguments.pairs} pairs", file=sys.stderr, end="\r", flush=True)
    pairs = [records.done[number] for number in range(arguments.pairs)]
    found = {"weights": bundle.hash[:12], "first_seed": arguments.first_seed, **summary(pairs)}
    (arguments.out / "squbed-tasks.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(pairs, arguments.out / "squbed-tasks.png")
    print(as_text(found))


def measure(cell: SwapCell, bundle: Bundle, seed: int, lpips: Lpips | None) -> dict[str, Any]:
    """One pair of scenes: its tasks, and the proposal they share."""
    stranger = list(RELATIVES)[seed % len(RELATIVES)]
    tasks, same, shared = [], {}, None
    for world in WORLDS:
        seen = cell.lay(seed, stranger, unseen=world == "unseen")
        stage = Stage(bundle, cell, seen, seed, lpips)
        shared = stage.meant if shared is None else shared
        repeated = futures(bundle, *stage.start(None), shared.expand(SAME, -1, -1), seed)
        same[world] = round(spread([repeated], bundle), 5)
        for kind, name in (("specific", seen.target), ("ambiguous", "object")):
            tasks.append({"world": world, "kind": kind, **stage.task(f"put the {name} in the bowl")})
    return {"stranger": stranger, "tasks": tasks, "one_proposal": same}


def spread(imagined: Sequence[Imagined], bundle: Bundle) -> float:
    """Epistemic uncertainty of futures, given by what they come from."""
    fits = [fit for some in imagined for fit in fit_regions(region_directions(some, bundle.semantic))]
    return float(np.mean([fit.entropy for fit in fits]))


class Stage:
    """One scene that has been laid, as the bundle sees it; also the `Scenes` of its own tasks."""

    def __init__(self, bundle: Bundle, cell: SwapCell, seen: Seen, seed: int, lpips: Lpips | None) -> None:
        self._bundle, self._cell, self._seen, self._lpips = bundle, cell, seen, lpips
        self.name = str(seed)
        self._history = bundle.world_model.encode(torch.from_numpy(seen.images)[None])
        self._poses = torch.from_numpy(seen.poses).float()[None]
        self._videos = SceneVideos(bundle, self)
        self._refiner = TemplateRefiner([name for name in bundle.config.phrases if name not in NEVER_MEANT])
        place = torch.tensor([*seen.place[:2], HEIGHT]).float()
        self.meant = flight(bundle, self._poses[0, -1], place)
        self._truth = self._film(self.meant[None])[0]

    def start(self, task: Task | None) -> tuple[Tensor, Tensor]:
        """See `Scenes`."""
        return self._history, self._poses

    def task(self, prompt: str) -> dict[str, Any]:
        """Uncertainties and accuracies of one instruction."""
        task = Task(prompt, objects=self._seen.objects)
        refined = self._refiner.refine(task, AMOUNTS.refinements, AMOUNTS.seed)
        asked = [(text, seed_of(AMOUNTS, index)) for index, text in enumerate(refined)]
        imagined = [self._videos.imagine(task, text, AMOUNTS.videos, seed) for text, seed in asked]
        free = [
            self._videos.imagine(task, text, OPEN_VIDEOS, seed, chunks=OPEN_VIDEOS)
            for text, seed in asked[:OPEN_PROMPTS]
        ]
        found = uncertainty(imagined, self._bundle)
        filmed = self._film(np.stack([some.actions[0].numpy() for some in imagined[:FILMED]]))
        same = [self._accuracy([some], film) for some, film in zip(imagined, filmed, strict=False)]
        return {
            "prompt": prompt,
            "aleatoric": round(found.aleatoric, 5),
            "epistemic": round(found.epistemic, 5),
            "prompts_epistemic": round(spread(free, self._bundle), 5),
            "refined": refined,
            "accuracy": self._accuracy(imagined, self._truth),
            "same_motion": {name: round(float(np.mean([one[name] for one in same])), 5) for name in same[0]},
        }

    def _film(self, chunks: np.ndarray | Tensor) -> np.ndarray:
        return self._cell.film(np.asarray(chunks, np.float64))

    def _accuracy(self, imagined: Sequence[Imagined], truth: np.ndarray) -> dict[str, float]:
        """Mean accuracy of futures, given by chunk, against a true video ``(H, V, h, w, 3)``."""
        bundle, first = self._bundle, [one(some) for some in imagined[:PICTURED]]
        real = replace(first[0], latents=bundle.world_model.encode(torch.from_numpy(truth)[None]))
        directions = region_directions(real, bundle.semantic)
        cosines = [(region_directions(some, bundle.semantic) * directions).sum(-1).mean() for some in imagined]
        videos = np.concatenate([decoded(bundle, some) for some in first])[:, 1:]
        pixels = pixel_accuracies(videos, np.concatenate(list(truth.swapaxes(0, 1)), axis=2), self._lpips)
        return {name: round(float(value), 5) for name, value in {"semantic": np.mean(cosines), **pixels}.items()}


def one(imagined: Imagined) -> Imagined:
    """The first of several futures."""
    return Imagined(*(getattr(imagined, field.name)[:1] for field in fields(Imagined)))


if __name__ == "__main__":
    main(sys.argv[1:])
