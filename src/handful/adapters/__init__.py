"""Features to logits: one method a file; `handful.plugins.names("adapters")` lists them.

What a new method builds on is importable from here.
"""

from handful.adapters._arguments import check_memory, number, number_or_by_shots, whole
from handful.adapters._base import Adapter
from handful.adapters._create import create_adapter, create_estimator
from handful.adapters._estimator import Estimator, check_is_fitted
from handful.adapters._head import AffineHead, Head, KernelHead, LinearHead, scalar
from handful.adapters._inputs import canonical_order, checked_units, class_means, unit_or_zero
from handful.adapters._pool import PoolFit, fit_with_pool
from handful.adapters._training import Recipe, train

__all__ = [
    "Adapter",
    "AffineHead",
    "Estimator",
    "Head",
    "KernelHead",
    "LinearHead",
    "PoolFit",
    "Recipe",
    "canonical_order",
    "check_is_fitted",
    "check_memory",
    "checked_units",
    "class_means",
    "create_adapter",
    "create_estimator",
    "fit_with_pool",
    "number",
    "number_or_by_shots",
    "scalar",
    "train",
    "unit_or_zero",
    "whole",
]
