"""What every family of bundle is put together from, by the names of its files."""

from __future__ import annotations

from typing import Any

from torch import nn


class BundleParts:
    """Base of the bundles.

    Attributes:
        world_model: V_theta, with an ``autoencoder`` and a ``denoiser``.
        uncertainty: U_beta.
        semantic: R_u.
        value: R_l.
        familiarity: The alarm for unfamiliar scenes, None where the bundle has none.
    """

    world_model: Any
    uncertainty: nn.Module
    semantic: nn.Module
    value: nn.Module
    familiarity: Any = None

    def parts(self) -> dict[str, nn.Module]:
        """The modules that have weights, by file name."""
        return {
            "autoencoder": self.world_model.autoencoder,
            "denoiser": self.world_model.denoiser,
            "uncertainty": self.uncertainty,
            "value": self.value,
            "semantic": self.semantic,
        }
