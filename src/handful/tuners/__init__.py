"""An encoder in, another encoder out: what is learned inside a frozen model, one method per file.

`fit` trains tuners, alone or together; `Tuned` is the encoder that comes out, `Delta` what it
learned, as values. A tuned encoder has a fingerprint of its own, so features of the untouched one
cannot be taken for its.
"""

from __future__ import annotations

from handful.tuners._base import Entry, Tuner
from handful.tuners._delta import Delta, average
from handful.tuners._tuned import Tuned
from handful.tuners.training.callbacks import Callback, MLflow, TensorBoard, WandB
from handful.tuners.training.fit import Trained, fit
from handful.tuners.training.interpolation import fit_between
from handful.tuners.training.loop import Live
from handful.tuners.training.recipe import Recipe

__all__ = [
    "Callback",
    "Delta",
    "Entry",
    "Live",
    "MLflow",
    "Recipe",
    "TensorBoard",
    "Trained",
    "Tuned",
    "Tuner",
    "WandB",
    "average",
    "fit",
    "fit_between",
]
