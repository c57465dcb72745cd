"""Split conformal prediction: sets of classes that miss the true one at a chosen error rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.errors import InputError


def nonconformity_scores(probabilities: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
    """`[N]` ascending `1 - p` of the true class, p its probability by a fit without the image."""
    rows = np.arange(len(targets))
    return np.sort(1 - np.asarray(probabilities, dtype=np.float64)[rows, targets])


def smallest_error(count: int) -> float:
    """The smallest error rate that N scores can guarantee: `1 / (N + 1)`."""
    return 1 / (count + 1)


def conformal_quantile(ordered: NDArray[np.float64], error: float) -> float:
    """Up to which `1 - p` a class belongs to the set of answers.

    The k-th smallest of N scores, `k = ceil((N + 1) (1 - error))`: if a new image is like those
    that were left out, its class is in the set with probability `k / (N + 1) >= 1 - error`.

    Args:
        ordered: `[N]` ascending, from `nonconformity_scores`.
        error: share of sets that may miss the true class, 0 to 1.

    Raises:
        InputError: a rate that N images are too few to guarantee.

    Source: split conformal prediction, Vovk et al., 2005; on left-out scores it is the
    cross-conformal rule, Vovk, 2015.

    >>> conformal_quantile(np.array([0.1, 0.2, 0.3, 0.4]), 0.25)
    0.4
    """
    if not 0 < error < 1:
        raise InputError(f"expected an error rate between 0 and 1, got {error}")
    count = len(ordered)
    rank = math.ceil((count + 1) * (1 - error) - 1e-9)
    if rank > count:
        raise InputError(
            f"cannot promise sets that miss the class at most {100 * error:g} % of the time: "
            f"{count} left-out images promise {100 * smallest_error(count):.1f} % at best; ask for "
            f"{math.ceil(1000 * smallest_error(count)) / 1000:g} or more, or teach more images"
        )
    return float(ordered[rank - 1])
