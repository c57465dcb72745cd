"""Temperature scaling: one factor on the logits, fitted on left-out logits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.errors import InputError

_LEAST, _MOST = 1e-4, 1e4  # of the factor, times the largest logit: beyond it nothing changes


def inverse_temperature(
    left_out: NDArray[Any], targets: NDArray[Any], weights: NDArray[np.float64] | None = None
) -> float:
    """The factor on the logits at which their softmax is likeliest; 1 / the usual temperature.

    `min_f mean_i CE(softmax(f Z_i), t_i)`, convex in f; t_i gives the true class `1 - 1 / (N + 2)`
    and the others the rest in equal parts, so that N right answers do not imply that every
    answer will be right.

    Args:
        left_out: Z, `[N, C]` logits, each row by a fit without it.
        targets: `[N]` columns.
        weights: `[N]` what each row counts for, one over the size of its unit; then the mean is
            weighted, and N in the true class's part is their sum. 1 each when not given.

    Raises:
        InputError: no rows, fewer than two classes.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017; the soft targets are
    Platt's, 1999.

    >>> z = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 2.0]])
    >>> doubtful = inverse_temperature(z, np.array([0, 1, 1, 1]))
    >>> doubtful < inverse_temperature(z, np.array([0, 1, 0, 1]))
    True
    """
    values, truth = np.asarray(left_out, dtype=np.float64), np.asarray(targets)
    if values.ndim != 2 or len(values) != len(truth) or not len(values) or values.shape[1] < 2:
        raise InputError(
            f"expected logits [N, C] and targets [N] with N >= 1 and C >= 2, "
            f"got {list(values.shape)} and {list(truth.shape)}"
        )
    values = values - values.mean(axis=1, keepdims=True)  # the softmax stays, numbers get smaller
    count, classes = values.shape
    share = np.ones(count) if weights is None else weights
    total = float(share.sum())
    rest = 1 / (total + 2)
    wanted = np.full(values.shape, rest / (classes - 1))
    wanted[np.arange(count), truth] = 1 - rest
    size = float(np.abs(values).max()) or 1.0

    # convex in the factor: the minimum is where the slope, sum_c (p_c - t_c) Z_c, is zero
    def slope(factor: float) -> float:
        return float(share @ ((softmax(values, factor) - wanted) * values).sum(axis=1) / total)

    from scipy.optimize import brentq  # slow to import, and answering needs none of it

    low, high = _LEAST / size, _MOST / size
    if slope(low) >= 0:  # the logits hold nothing, or the opposite of the truth
        return low
    return high if slope(high) <= 0 else float(brentq(slope, low, high))


def softmax(logits: NDArray[Any], factor: float = 1.0) -> NDArray[np.float64]:
    """`[M, C]` probabilities `softmax(factor * logits)`, in float64."""
    values = np.asarray(logits, dtype=np.float64) * factor
    weights = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
