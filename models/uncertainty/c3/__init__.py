"""C3: calibrated confidence from the video model's own features ("World Models That Know When They Don't Know")."""

from models.uncertainty.c3.features import Featured, FeaturedVideoModel
from models.uncertainty.c3.probe import Probe, ProbeConfig
from models.uncertainty.c3.variants import make_probe

__all__ = ["Featured", "FeaturedVideoModel", "Probe", "ProbeConfig", "make_probe"]
