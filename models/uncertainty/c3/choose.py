"""`vidplan uq probe`: which uncertainty model the planners of a bundle trust."""

from __future__ import annotations

import argparse
import dataclasses

from models.bundle import load_bundle
from models.errors import ModelsError
from models.uncertainty.c3.files import install_probe, installed_probe, load_trained, remove_probe, with_probe
from models.uncertainty.c3.variants import make_probe


def run(options: argparse.Namespace) -> int:
    """Install, change or remove; returns the exit code.

    Raises:
        ModelsError: There is no such probe, it does not fit the bundle, or it does not know the eps.
    """
    if options.remove:
        remove_probe(options.bundle)
        print(f"planners of {options.bundle} trust its 30-bin head")
        return 0
    if options.run and options.stage:
        trained = load_trained(options.run, options.stage)
        if trained.denoiser is not None:
            raise ModelsError(f"{options.stage} was trained with another flow map; planners need a detached probe")
        probe = trained.probe
    elif installed := installed_probe(options.bundle):
        probe = installed
    else:
        raise ModelsError("name a probe with --run DIR --stage NAME")
    if options.eps is not None and options.eps != probe.config.eps:
        if probe.config.variant == "fixed":
            raise ModelsError(f"a fixed-scale probe keeps the eps it was trained for, {probe.config.eps:g}")
        weights = probe.state_dict()
        probe = make_probe(dataclasses.replace(probe.config, eps=options.eps))
        probe.load_state_dict(weights)
    with_probe(load_bundle(options.bundle), probe)
    install_probe(probe, options.bundle)
    print(f"planners of {options.bundle} trust a {probe.config.variant} probe at eps {probe.config.eps:g}")
    return 0
