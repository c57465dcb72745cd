"""Answers and the truth to numbers with intervals, and numbers to words: pure functions."""

from handful.metrics.calibration import (
    Bin,
    brier_score,
    calibration_error,
    negative_log_likelihood,
    reliability,
)
from handful.metrics.classification import Evaluation, accuracy, evaluate, per_class_json
from handful.metrics.crossed import CrossedVariance, crossed_variance
from handful.metrics.curves import Curve, areas, curve
from handful.metrics.intervals import auroc_interval, mean_interval, wilson_interval
from handful.metrics.multi_label import (
    FIXED_THRESHOLD,
    MultiLabelEvaluation,
    evaluate_multi_label,
)
from handful.metrics.paired import PairedDifference, paired_difference
from handful.metrics.rates import RATES, WILSON, Rates, class_rates, share_interval
from handful.metrics.words import calibration_in_words, expectation, guessing, share_in_words

__all__ = [
    "FIXED_THRESHOLD",
    "RATES",
    "WILSON",
    "Bin",
    "CrossedVariance",
    "Curve",
    "Evaluation",
    "MultiLabelEvaluation",
    "PairedDifference",
    "Rates",
    "accuracy",
    "areas",
    "auroc_interval",
    "brier_score",
    "calibration_error",
    "calibration_in_words",
    "class_rates",
    "crossed_variance",
    "curve",
    "evaluate",
    "evaluate_multi_label",
    "expectation",
    "guessing",
    "mean_interval",
    "negative_log_likelihood",
    "paired_difference",
    "per_class_json",
    "reliability",
    "share_in_words",
    "share_interval",
    "wilson_interval",
]
