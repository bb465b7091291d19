"""`vidplan uq probe`: which uncertainty model the planners of a bundle trust."""

from __future__ import annotations

import argparse
import dataclasses

from models.bundle import load_bundle
from models.errors import ModelsError
from models.uncertainty.c3.files import install_probe, installed_probe, load_trained, remove_probe, with_probe
from models.uncertainty.c3.probe import Probe
from models.uncertainty.c3.variants import make_probe


def run(options: argparse.Namespace) -> int:
    """Install, change or remove; returns the exit code.

    Raises:
        ModelsError: There is no such probe, it does not fit the bundle, or it does not know the eps.
    """
    bundle = load_bundle(options.bundle)
    if options.remove:
        remove_probe(options.bundle)
        print(f"planners of {options.bundle} trust its 30-bin head")
        return 0
    if bool(options.run) != bool(options.stage):
        raise ModelsError("--run DIR and --stage NAME go together: which probe of which work folder")
    if options.run and options.stage:
        trained = load_trained(options.run, options.stage)
        if trained.denoiser is not None:
            raise ModelsError(f"{options.stage} was trained with another flow map; planners need a detached probe")
        probe = trained.probe
    elif installed := installed_probe(options.bundle):
        probe = installed
    else:
        raise ModelsError("name a probe with --run DIR --stage NAME")
    probe = _changed(probe, options.eps, options.unsure)
    with_probe(bundle, probe)
    install_probe(probe, options.bundle)
    bound = "their own bound" if probe.config.unsure is None else f"a mean h of {probe.config.unsure:g}"
    print(
        f"planners of {options.bundle} trust a {probe.config.variant} probe at eps {probe.config.eps:g}, and are "
        f"uncertain beyond {bound}"
    )
    return 0


def _changed(probe: Probe, eps: float | None, unsure: float | None) -> Probe:
    """The same probe with another eps or bound, where one is given; another eps voids the bound made for the old."""
    config = probe.config
    if eps is not None and eps != config.eps:
        if config.variant == "fixed":
            raise ModelsError(f"a fixed-scale probe keeps the eps it was trained for, {config.eps:g}")
        config = dataclasses.replace(config, eps=eps, unsure=None)
    if unsure is not None:
        if not 0 <= unsure <= 1:
            raise ModelsError(f"--unsure is a mean probability, from 0 to 1; got {unsure:g}")
        config = dataclasses.replace(config, unsure=unsure)
    changed = make_probe(config)
    changed.load_state_dict(probe.state_dict())
    return changed
