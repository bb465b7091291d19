"""Names a command line can list without loading any model."""

from __future__ import annotations

STAGES = ("autoencoder", "latents", "semantic", "world-model", "flow-map", "heads", "bundle")
"""In the order in which they need each other."""
PRESET_NAMES = ("tabletop", "tiny")
"""Keys of `config.PRESETS`."""
