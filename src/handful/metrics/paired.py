"""Two skills on the same images: how much more often one of them is right, and by chance or not."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError
from handful.metrics.design_effect import effective_size
from handful.metrics.intervals import wilson_interval
from handful.metrics.resampling import Floats, check_units, each_alone

MCNEMAR = "exact McNemar"
SWAPS = "swaps by group"
_SWAPS = 10_000


@dataclass(frozen=True)
class PairedDifference:
    """How two skills differ on M images that both have answered.

    Args:
        difference: accuracy of the second less that of the first, -1 to 1.
        interval: its 95 % interval; None where several images are all of one group.
        p: how often so large a difference, either way, comes by chance where the two are equally
            good; `method` says how it was computed.
        both, first, second, neither: images that both, only the first, only the second, or neither
            has right.
        units: independent images: groups, each image without one being its own.
        method: `exact McNemar` where every image stands alone, else `swaps by group`.
    """

    difference: float
    interval: tuple[float, float] | None
    p: float
    both: int
    first: int
    second: int
    neither: int
    units: int
    method: str

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return asdict(self) | {"interval": list(self.interval) if self.interval else None}


def paired_difference(
    first: ArrayLike, second: ArrayLike, units: ArrayLike | None = None, seed: int = 0
) -> PairedDifference:
    """Compare two skills by which images each has right.

    Where every image stands alone: McNemar's exact test (the sign test of the images on which they
    differ) and Newcombe's interval (method 10). Where images belong to groups: Newcombe's interval
    of as many images as they are worth (`handful.metrics.design_effect`, by what the second has
    more right than the first: 1, 0 or -1); the test swaps the two skills in whole groups, 10 000
    times, and counts how often the difference becomes as large.

    Args:
        first: `[M]`, whether the first skill has the image right.
        second: the same of the second.
        units: `[M]`, equal for images that belong together; each image alone when not given.
        seed: of the swaps.

    Raises:
        InputError: shapes that disagree, no images.

    Source: McNemar, Psychometrika 12, 1947; Newcombe, Statistics in Medicine 17, 1998, 2635-2650.

    >>> found = paired_difference([1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1])
    >>> found.difference, found.p, (found.first, found.second)
    (0.5, 0.375, (1, 4))
    """
    a, b = np.asarray(first) > 0, np.asarray(second) > 0
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise InputError(
            f"expected two answers an image [M], M at least 1, got {[*a.shape]} and {[*b.shape]}"
        )
    numbers = check_units(units, len(a))
    groups = int(numbers.max()) + 1
    counts = [int(x.sum()) for x in (a & b, a & ~b, ~a & b, ~a & ~b)]
    alone = each_alone(numbers)
    gap = b.astype(np.float64) - a.astype(np.float64)
    if alone:
        from scipy.stats import binomtest  # slow to import

        apart = counts[1] + counts[2]
        p = float(binomtest(counts[1], apart).pvalue) if apart else 1.0
    else:
        p = _swaps(np.bincount(numbers, weights=gap).astype(np.float64), seed)
    size = _effective(gap, numbers)
    interval = None
    if not math.isnan(size):
        cells = [cell * (size / len(a)) for cell in counts]
        interval = _newcombe(cells[0], cells[1], cells[2], cells[3])
    both, only_first, only_second, neither = counts
    method = MCNEMAR if alone else SWAPS
    return PairedDifference(
        float(gap.mean()), interval, p, both, only_first, only_second, neither, groups, method
    )


def _effective(gap: Floats, units: NDArray[np.int64]) -> float:
    """How many independent images those with these differences are worth."""
    sizes, sums = np.bincount(units), np.bincount(units, weights=gap)
    most = np.unique(gap, return_counts=True)[1].max()
    within = (gap**2).sum() - (sums**2 / sizes).sum()
    parts = (len(gap), len(sizes), (sizes**2).sum(), within, gap.var(), len(gap) - most)
    return float(effective_size(*parts))


def _newcombe(both: float, first: float, second: float, neither: float) -> tuple[float, float]:
    """Method 10: Wilson's intervals of both shares, squared and added, with their correlation."""
    count = both + first + second + neither
    right = (both + second, both + first)  # of the second less the first
    (low_2, high_2), (low_1, high_1) = (wilson_interval(min(r, count), count) for r in right)
    share_2, share_1 = (r / count for r in right)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    product: float = both * neither - first * second
    if product > 0:  # a correction for continuity, of positive association alone
        product = max(product - count / 2, 0)
    phi = product / math.sqrt(margins) if margins else 0.0

    def distance(one: float, other: float) -> float:
        return math.sqrt(max(one**2 - 2 * phi * one * other + other**2, 0.0))

    difference = share_2 - share_1
    return (
        max(difference - distance(share_2 - low_2, high_1 - share_1), -1.0),
        min(difference + distance(high_2 - share_2, share_1 - low_1), 1.0),
    )


def _swaps(gaps: Floats, seed: int) -> float:
    """Chance of so large a sum where each group's difference has either sign."""
    apart = gaps[gaps != 0]
    rng = np.random.default_rng(seed)
    seen, most = 0, abs(float(apart.sum()))
    for _ in range(10):  # in parts, for there may be many groups
        signs = rng.integers(0, 2, (_SWAPS // 10, len(apart))) * 2 - 1
        seen += int((np.abs(signs @ apart) >= most - 1e-9).sum())
    return (seen + 1) / (_SWAPS + 1)
