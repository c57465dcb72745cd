"""Answers and the truth to numbers with intervals: pure functions, no torch, no state."""

from handful.metrics.calibration import Bin, calibration_error, reliability
from handful.metrics.classification import Evaluation, accuracy, evaluate
from handful.metrics.intervals import mean_interval, wilson_interval
from handful.metrics.multi_label import (
    FIXED_THRESHOLD,
    MultiLabelEvaluation,
    evaluate_multi_label,
)

__all__ = [
    "FIXED_THRESHOLD",
    "Bin",
    "Evaluation",
    "MultiLabelEvaluation",
    "accuracy",
    "calibration_error",
    "evaluate",
    "evaluate_multi_label",
    "mean_interval",
    "reliability",
    "wilson_interval",
]
