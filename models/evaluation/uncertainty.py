"""Whether the uncertainty head knows how wrong the imagined video is, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.bins import bin_index
from models.bundle import Bundle
from models.evaluation.footage import CHUNK
from models.evaluation.judged import Judged, doubts
from models.evaluation.lpips import Lpips
from models.evaluation.pixels import Truth, decode
from models.evaluation.relations import coefficients, relation
from models.evaluation.reliability import Reliability
from models.evaluation.say import Say
from models.evaluation.unfamiliar import CLIP_SCORE, FAMILIARITY, clip_scores, tell_apart
from models.head_unet import per_view
from models.interfaces import Uncertainty
from models.metrics import MOVING

ELEMENTS = 20_000
"""Moving elements kept per chunk of clips for the correlation of single elements."""
EVERYTHING = slice(None)


@dataclass
class Calibration:
    """Counted events of one recording.

    Attributes:
        cumulative: By (frame, view, moving): "the error of this element lies below the edge of this bin", every edge.
        top: By (moving,): "the error lies in the most probable bin".
        elements: ``(N, 2)`` entropy and absolute error of single moving elements, a sample.
    """

    cumulative: Reliability
    top: Reliability
    elements: np.ndarray

    def figures(self, views: tuple[str, ...], frames: int) -> dict[str, Any]:
        """Calibration errors and curves."""
        ece, mce = self.cumulative.errors()
        moving = self.cumulative.pick(EVERYTHING, EVERYTHING, 1)
        return {
            "ece": ece,
            "ece_moving": moving.ece,
            "mce": mce,
            "mce_moving": moving.errors()[1],
            "ece_top_bin": self.top.ece,
            "ece_top_bin_moving": self.top.pick(1).ece,
            "ece_by_view": {view: self.cumulative.pick(EVERYTHING, v).ece for v, view in enumerate(views)},
            "ece_moving_by_view": {view: self.cumulative.pick(EVERYTHING, v, 1).ece for v, view in enumerate(views)},
            "ece_by_frame": [self.cumulative.pick(f).ece for f in range(frames)],
            "ece_moving_by_frame": [self.cumulative.pick(f, EVERYTHING, 1).ece for f in range(frames)],
            "curve": self.cumulative.pick(EVERYTHING).curve(),
            "curve_moving": moving.curve(),
        }


def measure_uncertainty(
    bundle: Bundle, judged: Judged, unfamiliar: Mapping[str, Judged], lpips: Lpips | None, say: Say
) -> dict[str, Any]:
    """Calibration, correlation with the errors, and detection of unfamiliar recordings."""
    views, frames = bundle.config.views, judged.footage.horizon
    counted = _count(bundle, judged, say, "uncertainty: calibration")
    doubt = doubts(bundle, judged)
    known = _Told(bundle, judged, doubt)
    say("uncertainty: correlation", 0.0)
    moving, h = _moving(judged, len(views)), doubt.h.numpy()
    latent = per_view((judged.imagined.latents - judged.batch.future).abs(), len(views)).mean(3).numpy()
    perceptual = _perceptual(bundle, judged, lpips)
    results: dict[str, Any] = {
        "clips": len(judged.batch.rows),
        "episodes": judged.footage.episodes(judged.batch.rows),
        **counted.figures(views, frames),
        "share_moving": round(float(moving.mean()), 4),
        "mean_h": round(float(h.mean()), 4),
        "mean_h_moving": round(float(h[moving].mean()), 4) if moving.any() else None,
        "mean_expected_error": round(doubt.expected_error.mean().item(), 4),
        "mean_error": round(float(latent.mean()), 4),
        "entropy_latent_error": {
            **relation(h, latent, moving, judged.episodes, views),
            "single_elements": {**coefficients(*counted.elements.T), "p": None},
        },
        "entropy_perceptual_error": {
            "error": "1 - SSIM" if lpips is None else "LPIPS",
            **relation(h, perceptual, moving, judged.episodes, views),
        },
        "scores": [round(float(value), 4) for value in known.scores[known.counts]],
        "note": (
            "ECE and MCE pool the events 'the error of this latent element lies below the edge of bin k' over all "
            "edges; top bin: 'it lies in the most probable bin'. Cells move when their latents differ from the newest "
            f"observed ones by more than {MOVING} on average. p-values are those of clip means, cells being dependent."
        ),
    }
    others = {name: _unfamiliar(bundle, other, known, say, name) for name, other in unfamiliar.items()}
    return {**results, **_worst(others), "unfamiliar": others, "score": known.counts}


class _Told:
    """Everything by which clips of one recording can be told from another's.

    Attributes:
        scores: ``(B,)`` by name.
        episodes: ``(B,)``.
        counts: Name of the score that counts: the familiarity of the newest observed frame where a bundle has it.
    """

    def __init__(self, bundle: Bundle, judged: Judged, doubt: Uncertainty) -> None:
        self.scores, self.episodes = clip_scores(doubt), judged.episodes
        self.counts = CLIP_SCORE if bundle.familiarity is None else FAMILIARITY
        if bundle.familiarity is not None:
            parts = judged.batch.history[:, -1].split(CHUNK)
            self.scores[FAMILIARITY] = torch.cat(
                [bundle.familiarity(part, bundle.semantic).state for part in parts]
            ).numpy()

    def against(self, other: _Told, counts: str) -> dict[str, Any]:
        """See `unfamiliar.tell_apart`."""
        return tell_apart(self.scores, self.episodes, other.scores, other.episodes, counts)


def _unfamiliar(bundle: Bundle, judged: Judged, known: _Told, say: Say, name: str) -> dict[str, Any]:
    counted = _count(bundle, judged, say, f"uncertainty: {name}")
    doubt = doubts(bundle, judged)
    told = _Told(bundle, judged, doubt)
    by_head = known.against(told, CLIP_SCORE)
    error = (judged.imagined.latents - judged.batch.future).abs().mean().item()
    return {
        "clips": len(judged.batch.rows),
        "episodes": judged.footage.episodes(judged.batch.rows),
        **counted.figures(bundle.config.views, judged.footage.horizon),
        **known.against(told, known.counts),
        "by_entropy": {key: by_head[key] for key in ("auroc", "interval", "per_episode")},
        "mean_h": round(doubt.h.mean().item(), 4),
        "mean_error": round(error, 4),
    }


def _worst(others: Mapping[str, dict[str, Any]]) -> dict[str, float | None]:
    """The figures of the recording that does worst: a target is met when the worst meets it."""
    return {
        "ece_ood": max((entry["ece"] for entry in others.values()), default=None),
        "ood_auroc": min((entry["auroc"] for entry in others.values()), default=None),
        "ood_auroc_entropy": min((entry["by_entropy"]["auroc"] for entry in others.values()), default=None),
    }


def _moving(judged: Judged, views: int) -> np.ndarray:
    change = (judged.batch.future - judged.batch.history[:, -1:]).abs()
    return (per_view(change, views).mean(dim=3) > MOVING).numpy()


def _perceptual(bundle: Bundle, judged: Judged, lpips: Lpips | None) -> np.ndarray:
    """Perceptual error of the decoded frames, averaged over the pixels of each latent cell: ``(B, H, V, h, w)``."""
    footage = judged.footage
    truth = Truth(footage, judged.batch.rows, footage.horizon, lpips)
    error = truth.perceptual_error(decode(bundle.world_model, judged.imagined.latents))
    cells = bundle.config.uncertainty.latent_size
    return functional.adaptive_avg_pool2d(error.flatten(0, 1), cells).unflatten(0, error.shape[:2]).numpy()


@torch.no_grad()
def _count(bundle: Bundle, judged: Judged, say: Say, what: str) -> Calibration:
    head, views = bundle.uncertainty, len(bundle.config.views)
    H, V = judged.footage.horizon, views
    moving = _moving(judged, views)
    slots = torch.arange(H * V).reshape(H, V, 1, 1, 1)
    cumulative, top, elements = Reliability(H, V, 2), Reliability(2), []
    rng = np.random.default_rng(0)
    for rows, part in judged.parts():
        say(what, rows[0].item() / len(moving))
        logs = head.log_probabilities(part).float()
        probabilities = logs.exp()
        error = per_view((part.latents - judged.batch.future[rows]).abs(), views)
        index = bin_index(error, head.config.bins, head.config.highest)
        moves = torch.from_numpy(moving[rows])[:, :, :, None].expand_as(index)
        _add_edges(cumulative, probabilities, index, (slots * 2 + moves).numpy())
        confidence, choice = probabilities.max(dim=4)
        top.add(confidence.numpy(), (choice == index).numpy(), moves.numpy().astype(np.int64))
        entropy = -(probabilities * logs).sum(dim=4)
        pairs = torch.stack([entropy[moves], error[moves]], dim=1).numpy()
        elements.append(pairs[rng.permutation(len(pairs))[:ELEMENTS]])
    return Calibration(cumulative, top, np.concatenate(elements))


def _add_edges(cumulative: Reliability, probabilities: Tensor, index: Tensor, group: np.ndarray) -> None:
    """Count an event per element and bin edge."""
    below = torch.zeros(index.shape)
    for edge in range(probabilities.shape[4] - 1):
        below = below + probabilities[..., edge, :, :]
        cumulative.add(below.clamp(0, 1).numpy(), (index <= edge).numpy(), group)
