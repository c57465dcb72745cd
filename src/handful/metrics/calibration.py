"""Calibration of probabilities: reliability bins and the expected calibration error (ECE)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from handful.errors import InputError
from handful.metrics.classification import checked_logits
from handful.metrics.rates import share_interval


@dataclass(frozen=True)
class Bin:
    """Answers of about the same probability, and how many of them were right.

    Args:
        low, high: the ends; an answer on an end belongs to the bin above.
        count: answers.
        confidence: their mean probability; NaN without any.
        accuracy: share of them that was right; NaN without any.
        interval: the 95 % interval of the share (`share_interval`); None where it is not known.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float
    interval: tuple[float, float] | None = None


def reliability(
    probabilities: ArrayLike, targets: ArrayLike, bins: int = 15, units: ArrayLike | None = None
) -> list[Bin]:
    """Best answers by their probability, in bins of equal width from 0 to 1.

    Args:
        probabilities: `[M, C]`.
        targets: `[M]` columns.
        bins: how many.
        units: `[M]`, equal for images that belong together; each image alone when not given.

    Raises:
        InputError: as `accuracy`, or no bins.

    >>> [(b.count, b.confidence, b.accuracy) for b in reliability([[0.8, 0.2]], [1], 2)][1]
    (1, 0.8, 0.0)
    """
    chances, truth = checked_logits(probabilities, targets)
    if bins < 1:
        raise InputError(f"expected at least one bin, got {bins}")
    # only the answer counts (top-label calibration), as in Guo et al.
    best, right = chances.max(axis=1).astype(np.float64), chances.argmax(axis=1) == truth
    # 1e-6: a float32 softmax may exceed 1 by rounding
    if best.min() < 0 or best.max() > 1 + 1e-6:
        raise InputError("expected probabilities from 0 to 1; logits need a softmax first")
    # a probability of exactly 1 belongs to the last bin
    place = np.minimum((best * bins).astype(int), bins - 1)
    found = []
    for i in range(bins):
        here = place == i
        count = int(here.sum())
        sure = float(best[here].mean()) if count else math.nan
        share = float(right[here].mean()) if count else math.nan
        interval = share_interval(right, units, here)
        found.append(Bin(i / bins, (i + 1) / bins, count, sure, share, interval))
    return found


def calibration_error(probabilities: ArrayLike, targets: ArrayLike, bins: int = 15) -> float:
    """How far probabilities are from how often they are right, 0 to 1 (ECE).

    `sum_b n_b / M |accuracy_b - confidence_b|` over bins of equal width. Few images make it too
    large: with M of them a perfect skill still gets up to about `0.4 sqrt(bins / M)`.

    Args:
        probabilities: `[M, C]`.
        targets: `[M]` columns.
        bins: how many.

    Raises:
        InputError: as `reliability`.

    Source: Naeini et al., AAAI 2015; Guo et al., ICML 2017.

    >>> round(calibration_error([[0.8, 0.2], [0.8, 0.2]], [0, 1]), 3)
    0.3
    """
    found = [b for b in reliability(probabilities, targets, bins) if b.count]
    total = sum(b.count for b in found)
    return sum(b.count * abs(b.accuracy - b.confidence) for b in found) / total


def brier_score(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """Mean squared distance of the probabilities from the truth, 0 (certain and right) to 2.

    `mean_m sum_c (p_mc - [c = y_m])²`, over all classes; with two classes it is twice the score
    that looks at one of them.

    Args:
        probabilities: `[M, C]`.
        targets: `[M]` columns.

    Raises:
        InputError: as `accuracy`.

    Source: Brier, Monthly Weather Review 78, 1950.

    >>> brier_score([[0.5, 0.5], [0.0, 1.0]], [0, 1])
    0.25
    """
    chances, truth = checked_logits(probabilities, targets)
    wrong = chances.astype(np.float64)
    wrong[np.arange(len(truth)), truth] -= 1
    return float((wrong**2).sum(axis=1).mean())


def negative_log_likelihood(probabilities: ArrayLike, targets: ArrayLike) -> float:
    """Mean of minus the natural logarithm of the true class's probability (log loss), 0 at best.

    A probability below 1.2e-7 (float32's epsilon) counts as that, as in scikit-learn: otherwise
    one answer that was certain and wrong would make it infinite.

    Args:
        probabilities: `[M, C]`.
        targets: `[M]` columns.

    Raises:
        InputError: as `accuracy`.

    >>> round(negative_log_likelihood([[0.5, 0.5], [0.0, 1.0]], [0, 1]), 4)
    0.3466
    """
    chances, truth = checked_logits(probabilities, targets)
    true = chances[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.maximum(true, np.finfo(np.float32).eps)).mean()) + 0.0
