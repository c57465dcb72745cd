"""Calibration of probabilities: reliability bins and the expected calibration error (ECE)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from handful.errors import InputError
from handful.metrics.classification import checked_logits


@dataclass(frozen=True)
class Bin:
    """Answers of about the same probability, and how many of them were right.

    Args:
        low, high: the ends; an answer on an end belongs to the bin above.
        count: answers.
        confidence: their mean probability; NaN without any.
        accuracy: share of them that was right; NaN without any.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability(probabilities: ArrayLike, targets: ArrayLike, bins: int = 15) -> list[Bin]:
    """Best answers by their probability, in bins of equal width from 0 to 1.

    Args:
        probabilities: `[M, C]`.
        targets: `[M]` columns.
        bins: how many.

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
        found.append(Bin(i / bins, (i + 1) / bins, count, sure, share))
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
