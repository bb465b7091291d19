"""S-QUBED's epistemic uncertainty on the clips that the other judges see, for `uncertainty_comparison.py`.

The motion of a recorded clip is given, so nothing is aleatoric; what is left is how far the futures imagined for this
one chunk differ. That is an entropy per region, not a probability per element: it has no calibration error, but it can
find errors and unfamiliar recordings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.bundle import Bundle
from models.evaluation.judged import Judged, doubts
from models.evaluation.relations import relation
from models.evaluation.say import Say
from models.evaluation.tables import Table, show
from models.evaluation.unfamiliar import detection
from models.head_unet import per_view
from models.interfaces import Uncertainty
from models.metrics import MOVING
from models.uncertainty.squbed.bundle_parts import futures
from models.uncertainty.squbed.decomposition import fit_regions
from models.uncertainty.squbed.planner_reading import region_directions

VIDEOS = 10
"""Futures of each clip, as published."""
ROWS, COLUMNS = 3, 5
"""Regions of a view (see `planner_reading.REGION`)."""
HEAD = "30-bin head, same regions"


def measure_squbed(bundle: Bundle, known: Judged, recordings: Mapping[str, Judged], say: Say) -> dict[str, Any]:
    """Correlation with the error of moving regions and detection of unfamiliar recordings, the head's h beside it.

    Args:
        bundle: Whose video model is asked.
        known: Held-out clips, imagined as the expected future.
        recordings: The same of recordings that are unlike the training, by kind.
        say: Told what is done.
    """
    views = bundle.config.views
    error, moving = _errors(known, len(views))
    found = {}
    for name, doubt_of in (("S-QUBED", _spread), (HEAD, _head)):
        say(f"regions: {name}", 0.0)
        doubt = doubt_of(bundle, known)
        others = {kind: doubt_of(bundle, other) for kind, other in recordings.items()}
        found[name] = {
            "relation": relation(doubt.h.numpy(), error.numpy(), moving.numpy(), known.episodes, views),
            "unfamiliar": {
                kind: detection(doubt, known.episodes, other, recordings[kind].episodes)
                for kind, other in others.items()
            },
        }
    return {"videos": VIDEOS, "clips": len(error), "regions": int(moving.sum()), "judges": found}


def table(part: Mapping[str, Any]) -> Table:
    """A row for S-QUBED and one for the head."""
    kinds = list(part["judges"]["S-QUBED"]["unfamiliar"])
    rows = [["", "entropy ~ error", "of whole clips", *(f"AUROC {kind}" for kind in kinds)]]
    for name, found in part["judges"].items():
        cells = [found["relation"]["spearman"], found["relation"]["per_clip"]["spearman"]]
        rows.append([name, *map(show, [*cells, *(found["unfamiliar"][kind]["auroc"] for kind in kinds)])])
    text = (
        f"Spread of {part['videos']} futures of the recorded motion, by region, against the error of the expected "
        f"future there: Spearman's coefficient of {part['regions']} moving regions, and of the means of "
        f"{part['clips']} clips. AUROC: mean of a clip."
    )
    return Table("S-QUBED on the same clips", text, rows)


@torch.no_grad()
def _spread(bundle: Bundle, judged: Judged) -> Uncertainty:
    """Entropy of the futures in every region."""
    batch, entropies = judged.batch, []
    for row in range(len(batch.rows)):
        start = batch.history[row : row + 1], batch.history_poses[row : row + 1]
        imagined = futures(bundle, *start, batch.actions[row].expand(VIDEOS, -1, -1), seed=row)
        entropies.append([fit.entropy for fit in fit_regions(region_directions(imagined, bundle.semantic))])
    return _doubt(torch.from_numpy(np.array(entropies)).unflatten(1, (1, len(bundle.config.views), ROWS, COLUMNS)))


def _head(bundle: Bundle, judged: Judged) -> Uncertainty:
    """The 30-bin head's h in the same regions."""
    return _doubt(_regions(doubts(bundle, judged).h))


def _errors(judged: Judged, views: int) -> tuple[Tensor, Tensor]:
    """Latent error of the expected future ``(B, 1, V, ROWS, COLUMNS)``, and where the latents move."""
    batch = judged.batch
    error = per_view((judged.imagined.latents - batch.future).abs(), views).mean(dim=3)
    change = per_view((batch.future - batch.history[:, -1:]).abs(), views).mean(dim=3)
    return _regions(error), _regions(change) > MOVING


def _regions(cells: Tensor) -> Tensor:
    """Means ``(B, 1, V, ROWS, COLUMNS)`` of cells ``(B, H, V, h, w)`` over regions of the frames S-QUBED looks at."""
    looked_at = cells[:, [cells.shape[1] // 2, -1]].mean(dim=1, keepdim=True)
    return functional.adaptive_avg_pool2d(looked_at.flatten(0, 2), (ROWS, COLUMNS)).unflatten(0, looked_at.shape[:3])


def _doubt(h: Tensor) -> Uncertainty:
    return Uncertainty(h, h, h)
