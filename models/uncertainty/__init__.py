"""How far to trust a video model: U_beta's 30-bin head, C3's probes, S-QUBED's entropies."""

from models.uncertainty.head import UncertaintyHead

__all__ = ["UncertaintyHead"]
