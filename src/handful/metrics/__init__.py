"""Answers and the truth to numbers with intervals, and numbers to words: pure functions."""

from handful.metrics.calibration import Bin, calibration_error, reliability
from handful.metrics.classification import Evaluation, accuracy, evaluate
from handful.metrics.intervals import mean_interval, wilson_interval
from handful.metrics.multi_label import (
    FIXED_THRESHOLD,
    MultiLabelEvaluation,
    evaluate_multi_label,
)
from handful.metrics.words import calibration_in_words, expectation, guessing, share_in_words

__all__ = [
    "FIXED_THRESHOLD",
    "Bin",
    "Evaluation",
    "MultiLabelEvaluation",
    "accuracy",
    "calibration_error",
    "calibration_in_words",
    "evaluate",
    "evaluate_multi_label",
    "expectation",
    "guessing",
    "mean_interval",
    "reliability",
    "share_in_words",
    "wilson_interval",
]
