"""`evaluate_models`: the figures of a bundle, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from models.bundle import Bundle
from models.errors import ModelsError
from models.evaluation.controllability import measure_controllability
from models.evaluation.footage import Footage
from models.evaluation.judged import Judged, imagine_clips
from models.evaluation.lpips import Lpips, load_lpips
from models.evaluation.media import Media
from models.evaluation.options import PROBES, Options
from models.evaluation.probes import contenders, judge_pictures, measure_judges
from models.evaluation.quality import measure_quality
from models.evaluation.reward import measure_reward
from models.evaluation.rollout import measure_rollouts
from models.evaluation.say import Say
from models.evaluation.speed import measure_speed
from models.evaluation.uncertainty import measure_uncertainty
from models.uncertainty.c3.files import trained_probes


def evaluate_models(
    bundle: Bundle, held_out: Path, fitting: Path | None, ood: Mapping[str, Path], options: Options, say: Say
) -> tuple[dict[str, Any], Media]:
    """Measure a bundle on recordings it was not trained on.

    Args:
        bundle: The models, on the CPU.
        held_out: Recording with a ``val`` split like those the bundle was trained on.
        fitting: Recording whose ``train`` split the tool readout may be fitted on; None: the held-out recording's own,
            or, where it has none, one half of its held-out episodes for the other.
        ood: Kind -> recording with a ``val`` split of scenes that are unlike the training.
        options: What to measure, and how much.
        say: Told what is done and the share of it that is.

    Returns:
        The figures by part, and pictures. A part that cannot be measured is missing, and ``failed`` says why.

    Raises:
        DatasetError: The held-out recording cannot be used at all.
    """
    torch.set_num_threads(options.threads)
    say(f"reading {held_out}", 0.0)
    work = _Evaluation(bundle, Footage(bundle, held_out, "val"), fitting or _own(held_out), ood, options, say)
    results: dict[str, Any] = {"data": work.data}
    media, failed = Media(), {}
    for part in options.parts:
        try:
            results[part], shown = work.parts[part]()
        except ModelsError as error:
            failed[part] = str(error)
            continue
        media = Media({**media.pictures, **shown.pictures}, {**media.videos, **shown.videos})
    return {**results, **({"failed": failed} if failed else {})}, media


class _Evaluation:
    """What the parts share: footage, its latents, and the clips imagined from it."""

    def __init__(
        self,
        bundle: Bundle,
        footage: Footage,
        fitting: Path | None,
        ood: Mapping[str, Path],
        options: Options,
        say: Say,
    ) -> None:
        self.bundle, self.footage, self.fitting, self.ood = bundle, footage, fitting, ood
        self.options, self.say = options, say
        self.parts: dict[str, Callable[[], tuple[dict[str, Any], Media]]] = {
            "quality": self._quality,
            "speedup": lambda: (measure_speed(bundle, footage, options, say), Media()),
            "controllability": lambda: (measure_controllability(bundle, self.judged, fitting, options, say), Media()),
            "uncertainty": self._uncertainty,
            "reward": lambda: (measure_reward(bundle, footage, options, say), Media()),
            PROBES: self._probes,
        }

    @property
    def data(self) -> dict[str, Any]:
        """What is measured on."""
        data = self.footage.data
        return {
            "episodes": len(data.episodes),
            "frames": sum(cached.length for cached in data.episodes),
            "skipped": data.skipped,
            "unfamiliar": sorted(self.ood),
            "planner_steps": self.options.planner_steps,
            "lpips": "measured" if self.options.lpips else "not measured: no folder with its weights was given",
        }

    @cached_property
    def judged(self) -> Judged:
        """Held-out clips."""
        rows = self.footage.spread(self.options.amounts.judged)
        return imagine_clips(self.bundle, self.footage, rows, self.options, self.say, "imagining held-out clips")

    @cached_property
    def lpips(self) -> Lpips | None:
        """The perceptual distance, where its weights were given."""
        return load_lpips(self.options.lpips) if self.options.lpips else None

    def _quality(self) -> tuple[dict[str, Any], Media]:
        figures, media = measure_quality(self.bundle, self.footage, self.options, self.lpips, self.say)
        figures["horizon"], more = measure_rollouts(self.bundle, self.footage, self.options, self.say)
        return figures, Media({**media.pictures, **more.pictures}, {**media.videos, **more.videos})

    @cached_property
    def unfamiliar(self) -> dict[str, Judged]:
        """Clips of every unfamiliar recording."""
        others = {}
        for name, root in self.ood.items():
            self.say(f"reading {root}", 0.0)
            footage = Footage(self.bundle, root, "val")
            rows = footage.spread(self.options.amounts.unfamiliar)
            others[name] = imagine_clips(self.bundle, footage, rows, self.options, self.say, f"imagining: {name}")
        return others

    def _uncertainty(self) -> tuple[dict[str, Any], Media]:
        return measure_uncertainty(self.bundle, self.judged, self.unfamiliar, self.lpips, self.say), Media()

    def _probes(self) -> tuple[dict[str, Any], Media]:
        assert self.options.probes is not None
        entrants, steps = contenders(self.bundle, trained_probes(self.options.probes)), self.options.planner_steps
        figures = measure_judges(self.bundle, entrants, self.judged, self.unfamiliar, self.say, steps)
        pictures = judge_pictures(self.bundle, entrants, self.judged, steps=steps)
        return figures, Media({f"last imagined frames: {name}": picture for name, picture in pictures.items()})


def _own(held_out: Path) -> Path | None:
    return held_out if (held_out / "annotation" / "train").is_dir() else None
