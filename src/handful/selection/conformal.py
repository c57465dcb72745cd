"""Split conformal prediction: sets of classes that miss the true one at a chosen error rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.errors import InputError


def nonconformity_scores(probabilities: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
    """`[N]` `1 - p` of the true class, p its probability by a fit without the image."""
    rows = np.arange(len(targets))
    return np.asarray(1 - np.asarray(probabilities, dtype=np.float64)[rows, targets])


def smallest_error(count: int) -> float:
    """The smallest error rate that K units can guarantee: `1 / (K + 1)`."""
    return 1 / (count + 1)


def conformal_quantile(
    scores: NDArray[np.float64], error: float, weights: NDArray[np.float64] | None = None
) -> float:
    """Up to which `1 - p` a class belongs to the set of answers.

    The scores of a unit (a burst, a patient; without weights each image is one) share the mass 1,
    and of K units the smallest score is taken up to which there is a mass of `(K + 1) (1 - error)`:
    if the unit of a new image is like those that were left out, its class is in the set with a
    probability of `1 - error` or more. Without weights that is the k-th smallest of N scores,
    `k = ceil((N + 1) (1 - error))`.

    Args:
        scores: `[N]`, from `nonconformity_scores`, in any order.
        error: share of sets that may miss the true class, 0 to 1.
        weights: `[N]` one over the size of the unit of each score; 1 each when not given.

    Raises:
        InputError: a rate that K units are too few to guarantee.

    Source: split conformal prediction, Vovk et al., 2005; on left-out scores it is the
    cross-conformal rule, Vovk, 2015; units as groups of hierarchical data, Lee, Barber and Willett,
    "Distribution-free inference with hierarchical data", 2023.

    >>> conformal_quantile(np.array([0.1, 0.2, 0.3, 0.4]), 0.25)
    0.4
    >>> conformal_quantile(np.array([0.1, 0.2, 0.3, 0.4]), 0.5, np.array([0.5, 0.5, 1.0, 1.0]))
    0.3
    """
    if not 0 < error < 1:
        raise InputError(f"expected an error rate between 0 and 1, got {error}")
    order = np.argsort(scores, kind="stable")
    mass = np.cumsum(np.ones(len(scores)) if weights is None else weights[order])
    count = round(float(mass[-1])) if len(mass) else 0
    place = int(np.searchsorted(mass, (count + 1) * (1 - error) - 1e-9))
    if place >= len(scores):
        units = "images" if weights is None else "units (groups, or images alone)"
        raise InputError(
            f"cannot promise sets that miss the class at most {100 * error:g} % of the time: "
            f"{count} left-out {units} promise {100 * smallest_error(count):.1f} % at best; ask "
            f"for {math.ceil(1000 * smallest_error(count)) / 1000:g} or more, or teach more images"
        )
    return float(scores[order[place]])
