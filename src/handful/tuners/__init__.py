"""Tuners: an encoder in, another encoder out; what is learned inside a frozen model.

One method a file. `fit` trains tuners, alone or together; `TunedEncoder` is the encoder that comes
out, `Delta` what was learned, as values. A tuned encoder has a fingerprint of its own, so features
of the frozen one cannot be taken for its.
"""

from __future__ import annotations

from handful.tuners._base import FirstChanged
from handful.tuners._delta import Delta, average
from handful.tuners._tuned_encoder import TunedEncoder
from handful.tuners._tuner import Tuner
from handful.tuners.training.callbacks import Callback, MLflow, TensorBoard, WandB
from handful.tuners.training.fit import Trained, fit
from handful.tuners.training.interpolation import fit_interpolated
from handful.tuners.training.recipe import Recipe
from handful.tuners.training.trainer import TrainingProgress
from handful.tuners.training.tune import Tuning, tune

__all__ = [
    "Callback",
    "Delta",
    "FirstChanged",
    "MLflow",
    "Recipe",
    "TensorBoard",
    "Trained",
    "TrainingProgress",
    "TunedEncoder",
    "Tuner",
    "Tuning",
    "WandB",
    "average",
    "fit",
    "fit_interpolated",
    "tune",
]
