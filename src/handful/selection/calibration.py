"""How sure an answer may sound: one factor on the logits, and sets of answers at an error rate.

Pure functions of what a fit says of images it has not seen.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from handful.errors import InputError

_LEAST, _MOST = 1e-4, 1e4  # of the factor, times the largest logit: beyond it nothing changes


def temperature(left_out: NDArray[Any], targets: NDArray[Any]) -> float:
    """The factor on the logits at which their softmax is likeliest; 1 / the usual temperature.

    `min_f mean_i CE(softmax(f Z_i), t_i)`, convex in f; t_i gives the true class `1 - 1 / (N + 2)`
    and the others the rest in equal parts, so that N images which are all told right do not promise
    that every image will be.

    Args:
        left_out: Z, `[N, C]` logits, each row by a fit without it.
        targets: `[N]` columns.

    Raises:
        InputError: no rows, fewer than two classes.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017; the soft targets are
    Platt's, 1999.

    >>> z = np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 2.0]])
    >>> temperature(z, np.array([0, 1, 1, 1])) < temperature(z, np.array([0, 1, 0, 1]))
    True
    """
    values, truth = np.asarray(left_out, dtype=np.float64), np.asarray(targets)
    if values.ndim != 2 or len(values) != len(truth) or not len(values) or values.shape[1] < 2:
        raise InputError(
            f"expected logits [N, C] and targets [N] with N >= 1 and C >= 2, "
            f"got {list(values.shape)} and {list(truth.shape)}"
        )
    values = values - values.mean(axis=1, keepdims=True)
    count, classes = values.shape
    rest = 1 / (count + 2)
    wanted = np.full(values.shape, rest / (classes - 1))
    wanted[np.arange(count), truth] = 1 - rest
    size = float(np.abs(values).max()) or 1.0

    def slope(factor: float) -> float:
        return float(((softmax(values, factor) - wanted) * values).sum(axis=1).mean())

    low, high = _LEAST / size, _MOST / size
    if slope(low) >= 0:  # the logits say nothing, or the opposite of what is true
        return low
    return high if slope(high) <= 0 else float(brentq(slope, low, high))


def softmax(logits: NDArray[Any], factor: float = 1.0) -> NDArray[np.float64]:
    """`[M, C]` probabilities `softmax(factor * logits)`, in float64."""
    values = np.asarray(logits, dtype=np.float64) * factor
    values = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(values / values.sum(axis=1, keepdims=True))


def scores(probabilities: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
    """`[N]` ascending `1 - p` of the true class: how strange each image is to its own class."""
    rows = np.arange(len(targets))
    return np.sort(1 - np.asarray(probabilities, dtype=np.float64)[rows, targets])


def smallest(count: int) -> float:
    """The smallest error rate that N scores can promise: `1 / (N + 1)`."""
    return 1 / (count + 1)


def limit(ordered: NDArray[np.float64], error: float) -> float:
    """Up to which `1 - p` a class belongs to the set of answers.

    The k-th smallest of N scores, `k = ceil((N + 1) (1 - error))`: if a new image is like those
    that were left out, its class is in the set with probability `k / (N + 1) >= 1 - error`.

    Args:
        ordered: `[N]` ascending, from `scores`.
        error: share of sets that may miss the true class, 0 to 1.

    Raises:
        InputError: a rate that N images are too few to promise.

    Source: split conformal prediction, Vovk et al., 2005; on left-out scores it is the
    cross-conformal rule, Vovk, 2015.

    >>> limit(np.array([0.1, 0.2, 0.3, 0.4]), 0.25)
    0.4
    """
    if not 0 < error < 1:
        raise InputError(f"expected an error rate between 0 and 1, got {error}")
    count = len(ordered)
    rank = math.ceil((count + 1) * (1 - error) - 1e-9)
    if rank > count:
        raise InputError(
            f"cannot promise sets that miss the class at most {100 * error:g} % of the time: "
            f"{count} left-out images promise {100 * smallest(count):.1f} % at best; ask for "
            f"{math.ceil(1000 * smallest(count)) / 1000:g} or more, or teach more images"
        )
    return float(ordered[rank - 1])
