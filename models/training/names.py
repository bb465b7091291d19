"""Names a command line can list without loading any model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

STAGES = ("autoencoder", "latents", "semantic", "world-model", "flow-map", "heads", "familiarity", "bundle")
"""In the order in which they need each other."""
FOUNDATIONS: dict[str, tuple[str, ...]] = {
    "autoencoder": (),
    "semantic": ("autoencoder",),
    "world-model": ("autoencoder",),
    "flow-map": ("autoencoder", "world-model"),
    "heads": ("autoencoder", "semantic", "flow-map"),
    "familiarity": ("autoencoder", "semantic"),
}
"""The trained stages, each with those whose weights it builds on."""
ADAPTER = "adapter"
"""Joint velocities to joints (`models.adapter`): learns from joints alone, is no part of a bundle nor of `all`."""
PROBE_VARIANTS = ("fixed", "multi", "continuous")
PROBE_SCORES = ("bce", "brier")
PROBE_SCALES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the error scale at which probes are compared, and one of which a fixed-scale probe is trained for."""


@dataclass(frozen=True)
class ProbeKind:
    """One of C3's probes, a stage each.

    Attributes:
        variant: Of `PROBE_VARIANTS`.
        score: Of `PROBE_SCORES`.
        eps: Of `PROBE_SCALES`.
        end_to_end: Whether the flow map goes on training with the probe (an ablation; probes are detached otherwise).
    """

    variant: str
    score: str
    eps: float
    end_to_end: bool = False

    @property
    def stage(self) -> str:
        """Name of its stage."""
        variant = f"fixed-{self.eps:g}" if self.variant == "fixed" else self.variant
        return f"probe-{variant}-{self.score}{'-end-to-end' if self.end_to_end else ''}"


PROBES = {
    kind.stage: kind
    for variant, score, end_to_end in product(PROBE_VARIANTS, PROBE_SCORES, (False, True))
    for eps in (PROBE_SCALES if variant == "fixed" else PROBE_SCALES[:1])
    for kind in [ProbeKind(variant, score, eps, end_to_end)]
}
"""Kinds of probe by stage. They are no part of a bundle, and `all` leaves them out."""
PROBE_FOUNDATIONS = ("autoencoder", "flow-map", "heads")
PRESET_NAMES = ("tabletop", "tiny")
"""Keys of `config.PRESETS`."""


def foundations(stage: str) -> tuple[str, ...]:
    """The stages whose weights a trained stage builds on."""
    return PROBE_FOUNDATIONS if stage in PROBES else FOUNDATIONS[stage]
