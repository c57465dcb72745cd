"""Answers and the truth to numbers with intervals: pure functions, no torch, no state."""

from handful.metrics.classification import (
    Bin,
    Evaluation,
    accuracy,
    calibration_error,
    evaluate,
    mean_interval,
    reliability,
    wilson_interval,
)

__all__ = [
    "Bin",
    "Evaluation",
    "accuracy",
    "calibration_error",
    "evaluate",
    "mean_interval",
    "reliability",
    "wilson_interval",
]
