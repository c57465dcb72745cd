"""How many independent images a share of grouped images is worth, and its interval.

The images of a patient or a burst are right or wrong together. n images in groups of n_g are worth

    n / (1 + (m - 1) rho),    m = sum n_g² / n

independent ones (Kish, Survey Sampling, 1965, section 5.4), rho being the correlation within
groups, and the interval is Wilson's of so many. It is never narrower than that of n images, and at
rho = 1 that of `n² / sum n_g²`, the number of groups where they are equally large. Wilson's with
an effective size does well among such intervals in Franco, Little, Louis and Slud (Journal of
Survey Statistics and Methodology 7, 2019, 334-364).

rho is estimated as `1 - W / ((n - G) v)`, W being the sum of squares within groups and v the
variance (Fleiss and Cuzick, Applied Psychological Measurement 3, 1979, 537-542), from 0 to 1. Few
groups or few errors tell little of it, so it is drawn to 1, the safe side: the mean of the estimate
with weight w and of 1 with weight 2, w being how many groups the rarer outcome would fill (its
images over m), at most G - 1. Where nothing varies, w is 0 and each group counts once; each
further error then widens the interval away from its end, as it must.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.metrics.intervals import wilson_interval

Floats = NDArray[np.float64]
EFFECTIVE = "wilson, effective sample size"
_PRIOR = 2.0  # with 1 the interval near 0 or 1 is not always monotone in the errors


def effective_size(
    images: ArrayLike,
    groups: ArrayLike,
    squares: ArrayLike,
    within: ArrayLike,
    variance: ArrayLike,
    rarer: ArrayLike,
) -> Floats:
    """Independent images that grouped ones are worth, for S numbers at once.

    Args:
        images: `[S]`, n, those that count.
        groups: `[S]`, G, groups that have such an image.
        squares: `[S]`, sum of `n_g²` over the groups.
        within: `[S]`, W, sum of squared distances of the values from the mean of their group.
        variance: `[S]`, v, of the values of all images.
        rarer: `[S]`, images whose value is not the most frequent one.

    Returns:
        `[S]`; NaN without images, or where several are all of one group, of whose like nothing is
        known.

    >>> round(float(effective_size(60, 20, 180, 0, 0, 0)), 1)  # 20 groups of 3, all right
    20.0
    """
    n, g, between, inner, v, rare = (
        np.asarray(x, dtype=np.float64) for x in (images, groups, squares, within, variance, rarer)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        size = between / n
        estimate = np.where((v > 0) & (n > g), 1 - inner / ((n - g) * v), 1.0)
        weight = np.minimum(rare / size, g - 1)
        rho = (weight * np.clip(estimate, 0.0, 1.0) + _PRIOR) / (weight + _PRIOR)
        found = n / (1 + (size - 1) * rho)
    return np.where((n > 0) & ((g > 1) | (n == 1)), found, np.nan)


def share_intervals(hits: Floats, images: Floats, effective: Floats) -> Floats:
    """`[S, 2]` intervals of S shares by Wilson, of as many images as they are worth.

    Args:
        hits: `[S]`, images that are counted.
        images: `[S]`, among how many.
        effective: `[S]` of `effective_size`; NaN gives NaN.
    """
    found = np.full((len(hits), 2), np.nan)
    for i in np.flatnonzero(~np.isnan(effective)):
        size = float(effective[i])
        # exactly all, else an end would not be exactly 1
        right = size if hits[i] == images[i] else float(hits[i] * (size / images[i]))
        found[i] = wilson_interval(min(right, size), size)
    return found
