"""C3's probes, and others that judge, beside the 30-bin head: calibration at several scales, detection, correlation."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from models.bundle import Bundle
from models.errors import ModelsError
from models.evaluation.footage import CHUNK
from models.evaluation.judged import Judged
from models.evaluation.pixels import decode
from models.evaluation.relations import coefficients, relation
from models.evaluation.reliability import Reliability
from models.evaluation.say import Say
from models.evaluation.unfamiliar import detection, mean_uncertainty
from models.head_unet import per_view
from models.heatmap import Heatmap
from models.interfaces import Imagined, Uncertainty
from models.metrics import MOVING
from models.training.names import PROBE_SCALES
from models.uncertainty import UncertaintyHead
from models.uncertainty.c3 import Featured, FeaturedVideoModel
from models.uncertainty.c3.files import Trained

HEAD = "30-bin head"
ALL = slice(None)
TIMED_CLIPS = 8
USUAL = 0.99
"""Share of familiar clips whose mean h lies below `highest_mean_h`: the planner's bound for a probe (`unsure`)."""


class Judge(Protocol):
    """Anything that says how probable small errors are."""

    def confidences(self, imagined: Imagined, scales: Sequence[float]) -> list[Tensor]:
        """Probabilities ``(B, H, V, C, h, w)`` that errors are at most each of ``scales`` of the error scale."""
        ...

    def __call__(self, imagined: Imagined) -> Uncertainty:
        """See `interfaces.UncertaintyModel`."""
        ...


class BinsAsJudge:
    """The 30-bin head asked as probes are: the probability of all bins up to eps, linear inside a bin."""

    def __init__(self, head: UncertaintyHead) -> None:
        self._head = head

    def confidences(self, imagined: Imagined, scales: Sequence[float]) -> list[Tensor]:
        """See `Judge`."""
        bins = self._head.config.bins
        probabilities = self._head.log_probabilities(imagined).float().exp()
        shares = [(eps * bins - torch.arange(bins)).clamp(0, 1) for eps in scales]
        return [torch.einsum("bfvckhw,k->bfvchw", probabilities, share) for share in shares]

    def __call__(self, imagined: Imagined) -> Uncertainty:
        """See `Judge`."""
        return self._head(imagined)


@dataclass(frozen=True)
class Contender:
    """One judge and the video model it judges.

    Attributes:
        judge: Says how sure.
        model: Imagines; the bundle's, except for a probe that was trained end to end.
        scales: Shares of the error scale it can be asked about.
    """

    judge: Judge
    model: FeaturedVideoModel
    scales: Sequence[float]


def contenders(bundle: Bundle, trained: Mapping[str, Trained]) -> dict[str, Contender]:
    """The 30-bin head of a bundle and probes that were trained on its flow map, by name."""
    model = FeaturedVideoModel.of(bundle)
    found = {HEAD: Contender(BinsAsJudge(bundle.uncertainty), model, PROBE_SCALES)}
    for name, entry in trained.items():
        config = entry.probe.config
        scales = (config.eps,) if config.variant == "fixed" else PROBE_SCALES
        own = model if entry.denoiser is None else with_denoiser(bundle, entry.denoiser)
        found[name] = Contender(entry.probe, own, scales)
    return found


def measure_judges(
    bundle: Bundle,
    entrants: Mapping[str, Contender],
    judged: Judged,
    unfamiliar: Mapping[str, Judged],
    say: Say,
    steps: int = 0,
) -> dict[str, Any]:
    """Figures of every contender, in and out of distribution.

    Args:
        bundle: The bundle whose video model is judged, on the CPU.
        entrants: Contenders by name (see `contenders`).
        judged: Held-out clips (only their frames and noise are used).
        unfamiliar: The same of recordings that are unlike the training, by kind.
        say: Told what is done.
        steps: The planner's flow map steps; 0: the expected future.

    Returns:
        ``judges``: by name ``ece`` and ``mce`` pooled over the scales, ``by_eps``, curves, ``relation`` of h and error
        (see `relations.relation`), ``milliseconds`` of judging 8 candidates beside ``imagining``, and ``unfamiliar``.
    """
    scale, results = bundle.config.uncertainty.highest, {}
    for name, contender in entrants.items():
        known = _judge(contender, bundle, judged, say, name, steps)
        others = {}
        for kind, other in unfamiliar.items():
            found = _judge(contender, bundle, other, say, f"{name}: {kind}", steps)
            others[kind] = {
                **found.figures(contender.scales),
                **detection(known.doubt, judged.episodes, found.doubt, other.episodes),
            }
        results[name] = {
            **known.figures(contender.scales),
            "clips": len(judged.batch.rows),
            "relation": relation(
                known.doubt.h.numpy(), known.error, known.moving, judged.episodes, bundle.config.views
            ),
            "spearman_expected_error": coefficients(
                known.doubt.expected_error.numpy()[known.moving], known.error[known.moving]
            )["spearman"],
            **_cost(contender, judged, steps),
            "unfamiliar": others,
        }
    return {
        "error_scale": scale,
        "scales": list(PROBE_SCALES),
        "judges": results,
        "note": (
            f"Events: the error of a latent element is at most eps times the error scale of {scale:g}, for "
            f"{'the expected future' if steps == 0 else f'videos made in {steps} step(s)'}. Latent space, as in "
            "training; ten confidence bins, all events of a recording pooled. A fixed-scale probe knows its own eps "
            "only."
        ),
    }


@dataclass(frozen=True)
class _Found:
    """What one contender said of one recording; events by (scale, moving)."""

    events: Reliability
    doubt: Uncertainty
    error: np.ndarray
    moving: np.ndarray

    def figures(self, scales: Sequence[float]) -> dict[str, Any]:
        ece, mce = self.events.errors()
        by_eps = {}
        for index, eps in enumerate(scales):
            one = self.events.pick(index)
            by_eps[f"{eps:g}"] = {
                "ece": one.ece,
                "mce": one.errors()[1],
                "ece_moving": self.events.pick(index, 1).ece,
                "curve": one.curve(),
            }
        return {
            "ece": ece,
            "mce": mce,
            "ece_moving": self.events.pick(ALL, 1).ece,
            "by_eps": by_eps,
            "curve": self.events.pick(ALL).curve(),
            "curve_moving": self.events.pick(ALL, 1).curve(),
            "mean_h": round(self.doubt.h.mean().item(), 4),
            "highest_mean_h": round(mean_uncertainty(self.doubt).quantile(USUAL).item(), 4),
        }


@torch.no_grad()
def _judge(contender: Contender, bundle: Bundle, judged: Judged, say: Say, what: str, steps: int) -> _Found:
    views, batch, scale = len(bundle.config.views), judged.batch, bundle.config.uncertainty.highest
    change = (batch.future - batch.history[:, -1:]).abs()
    moving = per_view(change, views).mean(dim=3) > MOVING
    events, doubts, errors = Reliability(len(contender.scales), 2), [], []
    for rows in torch.arange(len(judged.noise)).split(CHUNK // 2):
        say(f"probes: {what}", rows[0].item() / len(judged.noise))
        imagined = _imagine(contender.model, judged, rows, steps)
        error = per_view((imagined.latents - batch.future[rows]).abs(), views)
        moves = moving[rows][:, :, :, None].expand_as(error).numpy()
        said = contender.judge.confidences(imagined, contender.scales)
        for index, (eps, confidence) in enumerate(zip(contender.scales, said, strict=True)):
            events.add(confidence.clamp(0, 1).numpy(), (error <= eps * scale).numpy(), 2 * index + moves)
        doubts.append(contender.judge(imagined))
        errors.append(error.mean(dim=3))
    doubt = Uncertainty(*(torch.cat([getattr(d, name) for d in doubts]) for name in ("h", "expected_error", "entropy")))
    return _Found(events, doubt, torch.cat(errors).numpy(), moving.numpy())


@torch.no_grad()
def _cost(contender: Contender, judged: Judged, steps: int, rounds: int = 5) -> dict[str, float]:
    rows = torch.arange(min(TIMED_CLIPS, len(judged.noise)))
    imagined = _imagine(contender.model, judged, rows, steps)
    return {
        "milliseconds": _median(lambda: contender.judge(imagined), rounds),
        "imagining": _median(lambda: _imagine(contender.model, judged, rows, steps), rounds),
    }


def _median(run: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return round(1000 * statistics.median(seconds), 2)


def _imagine(model: FeaturedVideoModel, judged: Judged, rows: Tensor, steps: int) -> Featured:
    batch, noise = judged.batch, judged.noise[rows]
    return model.imagine(batch.history[rows], batch.history_poses[rows], batch.actions[rows], steps=steps, noise=noise)


def with_denoiser(bundle: Bundle, weights: Mapping[str, Tensor]) -> FeaturedVideoModel:
    """The bundle's video model with another denoiser.

    Raises:
        ModelsError: It is of another size.
    """
    model = copy.deepcopy(bundle.world_model)
    try:
        model.denoiser.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelsError(f"these weights belong to another video model: {error}") from error
    return FeaturedVideoModel.of(replace(bundle, world_model=model))


@torch.no_grad()
def judge_pictures(
    bundle: Bundle, entrants: Mapping[str, Contender], judged: Judged, clips: int = 2, steps: int = 0
) -> dict[str, np.ndarray]:
    """The last imagined frame with every contender's uncertainty on it, by name.

    Returns:
        Pictures ``(clips * rows, V * columns, 3)`` uint8; the first, ``imagined``, without uncertainty.
    """
    spec = bundle.config
    heatmap = Heatmap(bundle.world_model, len(spec.views), spec.image_size)
    rows = torch.linspace(0, len(judged.noise) - 1, min(clips, len(judged.noise))).long()
    pictures: dict[str, np.ndarray] = {}
    for name, contender in entrants.items():
        imagined = _imagine(contender.model, judged, rows, steps)
        frames = decode(contender.model, imagined.latents)
        pictures.setdefault("imagined", _sheet(frames))
        pictures[name] = _sheet(heatmap.over(frames, contender.judge(imagined).h))
    return pictures


def _sheet(frames: Tensor) -> np.ndarray:
    """Last frames of ``(B, H, V, rows, columns, 3)``: a clip per row, views side by side."""
    return np.concatenate([np.concatenate(list(clip), axis=1) for clip in frames[:, -1].numpy()])
