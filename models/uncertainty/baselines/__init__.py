"""Plain baselines to compare with: how far several predictions of one video differ, calibrated on training clips."""

from models.uncertainty.baselines.calibration import SpreadCalibration
from models.uncertainty.baselines.spread import DropoutSpread, EnsembleSpread, SpreadJudge

__all__ = ["DropoutSpread", "EnsembleSpread", "SpreadCalibration", "SpreadJudge"]
