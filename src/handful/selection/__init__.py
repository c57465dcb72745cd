"""What the support set alone can say: leave-one-out in closed form, and what to choose by it.

Pure functions of tensors; no method is known here.
"""

from handful.selection._sweep import Best
from handful.selection._text_means import Means, directions, text_as_means
from handful.selection.alpha import BestCache, best_alpha, best_alpha_beta
from handful.selection.gda import gaussian, gaussian_about_text, gaussian_left_out
from handful.selection.leave_one_out import (
    cache_left_out,
    linear_ridge_path,
    means_left_out,
    ridge,
    ridge_left_out,
    ridge_path,
)
from handful.selection.stacking import stack, trust

__all__ = [
    "Best",
    "BestCache",
    "Means",
    "best_alpha",
    "best_alpha_beta",
    "cache_left_out",
    "directions",
    "gaussian",
    "gaussian_about_text",
    "gaussian_left_out",
    "linear_ridge_path",
    "means_left_out",
    "ridge",
    "ridge_left_out",
    "ridge_path",
    "stack",
    "text_as_means",
    "trust",
]
