"""Intervals of a share (Wilson), an area (Newcombe) and a mean over seeds (Student's t)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from handful.errors import InputError


def wilson_interval(right: float, count: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share, `right` of `count`; valid for few images and for shares near 0 or 1.

    `(p + z²/2n ± z sqrt(p (1 - p) / n + z²/4n²)) / (1 + z²/n)`, Wilson, 1927.

    Raises:
        InputError: no images, more right than there are, a level outside 0 to 1.

    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    if not (count >= 1 and 0 <= right <= count and 0 < level < 1):
        raise InputError(
            f"expected 0 <= right <= count, count >= 1 and a level between 0 and 1, "
            f"got right={right}, count={count}, level={level}"
        )
    # the plain `p ± z sqrt(p (1 - p) / n)` has width 0 at p = 0 and p = 1, however few the images
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, spread = right / count, z * z / count
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    # the ends are exact at 0 and 1; rounding must not push them outside
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return (0.0 if right == 0 else max(low, 0.0), 1.0 if right == count else min(high, 1.0))


def auroc_interval(
    area: float, positives: float, negatives: float, level: float = 0.95
) -> tuple[float, float]:
    """Interval of an area under the ROC curve; has a width at 0 and 1 too.

    The areas from which the one found is no further than z standard errors, that error being the
    one at the area asked about: Newcombe's method 5 (Statistics in Medicine 25, 2006, 559-573),
    Hanley and McNeil's variance (Radiology 143, 1982) with the mean of both sides in it.

    Args:
        area: 0 to 1.
        positives: images of the class, or groups of them.
        negatives: of the other classes.
        level: how often the interval holds the true area.

    Raises:
        InputError: an area outside 0 to 1, a side without images.

    >>> low, high = auroc_interval(1.0, 31, 31)
    >>> round(low, 2), high
    (0.94, 1.0)
    """
    if not (0 <= area <= 1 and positives >= 1 and negatives >= 1):
        raise InputError(
            f"expected an area from 0 to 1 and images on both sides, got area={area}, "
            f"positives={positives}, negatives={negatives}"
        )
    z = NormalDist().inv_cdf((1 + level) / 2)
    half = (positives + negatives) / 2 - 1

    def factor(at: float) -> float:  # the variance is `at (1 - at)` times this over z²
        more = half * ((1 - at) / (2 - at) + at / (1 + at))
        return z * z * (1 + more) / (positives * negatives)

    def lower(found: float) -> float:
        if found == 0:
            return 0.0
        from scipy.optimize import brentq  # slow to import

        if found == 1:  # 1 itself solves the equation; divided by 1 - at it does not
            return float(brentq(lambda at: 1 - at - at * factor(at), 0, 1))
        return float(brentq(lambda at: (found - at) ** 2 - at * (1 - at) * factor(at), 0, found))

    return lower(area), 1 - lower(1 - area)


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Mean over seeds and half the width of its interval, by Student's t: `t s / sqrt(n)`.

    The half-width is NaN for one value: nothing is known of its spread.

    Raises:
        InputError: no values, or one that is not finite.

    >>> mean, half = mean_interval([80.0, 82.0, 84.0])
    >>> mean, round(half, 2)
    (82.0, 4.97)
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers) or not np.isfinite(numbers).all():
        raise InputError(f"expected finite numbers, at least one, got {list(values)}")
    if len(numbers) == 1:
        return float(numbers[0]), math.nan
    from scipy.special import stdtrit  # slow to import, and a single share needs none of it

    # half of what the level leaves out lies above: the quantile at (1 + level) / 2
    t = float(stdtrit(len(numbers) - 1, (1 + level) / 2))
    return float(numbers.mean()), t * float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
