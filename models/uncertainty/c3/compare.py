"""`vidplan uq probes`: every probe of a training run beside the 30-bin head."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch

from models.bundle import Bundle, load_bundle
from models.errors import ModelsError
from models.evaluation.footage import Footage
from models.evaluation.judged import Judged, imagine_clips
from models.evaluation.options import Options
from models.evaluation.probes import contenders, judge_pictures, measure_judges
from models.evaluation.probes_table import markdown, probes, reliability, targets
from models.uncertainty.c3.files import require_fit, trained_probes


def run(options: argparse.Namespace) -> int:
    """Measure and write; returns the exit code.

    Raises:
        ModelsError: There is no probe, bundle or recording, or a probe is of another video model.
    """
    torch.set_num_threads(options.threads)
    trained = trained_probes(options.run)
    bundle = _bundle(options)
    for entry in trained.values():
        require_fit(bundle.config, entry.probe.config)
    entrants = contenders(bundle, trained)
    judged = _clips(bundle, options.data, options.clips)
    unfamiliar = {kind: _clips(bundle, root, options.clips) for kind, root in map(_pair, options.ood)}
    part = measure_judges(bundle, entrants, judged, unfamiliar, _say)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "probes.json").write_text(json.dumps(part, indent=1) + "\n")
    for name in part["judges"]:
        (options.out / f"{_file(name)}-reliability.svg").write_text(reliability(part, name))
    pictures = judge_pictures(bundle, entrants, judged)
    for name, picture in pictures.items():
        cv2.imwrite(str(options.out / f"{_file(name)}.png"), np.ascontiguousarray(picture[..., ::-1]))
    text = markdown(probes(part)) + "\n" + markdown(targets(part))
    (options.out / "probes.md").write_text(f"{text}\n{_shown(part['judges'], pictures)}")
    print(f"{text}\n{options.out / 'probes.md'}")
    return 0


def _bundle(options: argparse.Namespace) -> Bundle:
    own = options.run / "bundle"
    if options.bundle is None and not own.is_dir():
        raise ModelsError(f"{own} is missing: make it with `vidplan train bundle`, or name a bundle with --bundle DIR")
    return load_bundle(options.bundle or own)


def _shown(judges: Iterable[str], pictures: Iterable[str]) -> str:
    """The diagrams and pictures beside the page, as Markdown."""
    lines = ["### Reliability", "", "All scales pooled; right, the moving elements of unfamiliar recordings.", ""]
    lines += [f"**{name}**\n\n![Reliability of {name}]({_file(name)}-reliability.svg)\n" for name in judges]
    lines += ["### Last imagined frames", "", "Decoded uncertainty over them: blue sure, red unsure.", ""]
    lines += [f"**{name}**\n\n![{name}]({_file(name)}.png)\n" for name in pictures]
    return "\n".join(lines)


def _clips(bundle: Bundle, root: Path, count: int) -> Judged:
    footage = Footage(bundle, root, "val")
    return imagine_clips(
        bundle, footage, footage.spread(count), Options(quick=True, clips=count), _say, f"imagining: {root}"
    )


def _pair(text: str) -> tuple[str, Path]:
    kind, equals, folder = text.partition("=")
    if not equals or not kind:
        raise ModelsError(f"--ood {text}: need KIND=DIR, e.g. --ood light=data/evaluation/full/light")
    return kind, Path(folder)


def _file(name: str) -> str:
    return name.replace(" ", "-")


def _say(what: str, share: float) -> None:
    if share == 0:
        print(what, file=sys.stderr, flush=True)
