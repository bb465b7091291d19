"""Names a command line can list without loading any model."""

from __future__ import annotations

STAGES = ("autoencoder", "latents", "semantic", "world-model", "flow-map", "heads", "bundle")
"""In the order in which they need each other."""
FOUNDATIONS: dict[str, tuple[str, ...]] = {
    "autoencoder": (),
    "semantic": ("autoencoder",),
    "world-model": ("autoencoder",),
    "flow-map": ("autoencoder", "world-model"),
    "heads": ("autoencoder", "semantic", "flow-map"),
}
"""The trained stages, each with those whose weights it builds on."""
PRESET_NAMES = ("tabletop", "tiny")
"""Keys of `config.PRESETS`."""
