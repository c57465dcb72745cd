"""Statistics from the support set alone: leave-one-out in closed form, and what to choose by it.

Pure functions of tensors; no method is known here.
"""

from handful.selection._sweep import Best
from handful.selection.alpha import BestCache, best_alpha, best_alpha_beta
from handful.selection.gda import gda_weights, gda_weights_with_text_prior
from handful.selection.gda_family import Strength, gda_family, gda_family_left_out
from handful.selection.gda_left_out import gda_leave_one_out
from handful.selection.leave_one_out import (
    cache_leave_one_out,
    class_means_leave_one_out,
)
from handful.selection.modality_gap import ClassMeans, modality_gap, unit_means
from handful.selection.next_labels import variance_reduction_order
from handful.selection.ridge import (
    kernel_ridge,
    kernel_ridge_leave_one_out,
    kernel_ridge_path,
    linear_ridge_path,
)
from handful.selection.stacking import (
    capped_inverse_temperature,
    stacking_weights,
    unfitted_inverse_temperature,
)
from handful.selection.units import (
    has_others,
    one_each,
    stratified_folds,
    weighted_mean,
    weights_in_class,
)

__all__ = [
    "Best",
    "BestCache",
    "ClassMeans",
    "Strength",
    "best_alpha",
    "best_alpha_beta",
    "cache_leave_one_out",
    "capped_inverse_temperature",
    "class_means_leave_one_out",
    "gda_family",
    "gda_family_left_out",
    "gda_leave_one_out",
    "gda_weights",
    "gda_weights_with_text_prior",
    "has_others",
    "kernel_ridge",
    "kernel_ridge_leave_one_out",
    "kernel_ridge_path",
    "linear_ridge_path",
    "modality_gap",
    "one_each",
    "stacking_weights",
    "stratified_folds",
    "unfitted_inverse_temperature",
    "unit_means",
    "variance_reduction_order",
    "weighted_mean",
    "weights_in_class",
]
