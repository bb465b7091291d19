"""What a bundle can do, measured on recordings it was not trained on, and the report about it."""

from models.evaluation.media import Media
from models.evaluation.options import Options
from models.evaluation.report import write_report
from models.evaluation.run import evaluate_models
from models.evaluation.targets import Verdict, judge, targets_table

__all__ = ["Media", "Options", "Verdict", "evaluate_models", "judge", "targets_table", "write_report"]
