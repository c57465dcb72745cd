"""Sensitivity, specificity, predictive values and F1 of each class, with their intervals.

    recall (sensitivity)   of the images of a class, the share answered so
    specificity            of the images of other classes, the share not answered so
    precision (PPV)        of the images answered with a class, the share that are of it
    npv                    of the images not answered so, the share that are not of it
    f1                     2 TP / (2 TP + FP + FN)

Each is a share. Its interval is Wilson's; that of F1 is the one of `J = TP / (TP + FP + FN)`, a
share too, through `F1 = 2 J / (1 + J)`. Where images belong to groups, it is Wilson's of as many
images as they are worth (`handful.metrics.design_effect`), by the groups that the rate counts. The
mean F1 is no share: its interval draws whole groups anew (`handful.metrics.resampling`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError
from handful.metrics.design_effect import EFFECTIVE, effective_size, share_intervals
from handful.metrics.resampling import (
    Floats,
    check_units,
    each_alone,
    resampled_sums,
    sums_by_unit,
    varying_interval,
)

RATES = ("recall", "specificity", "precision", "npv", "f1")
WILSON = "wilson"
_ROWS = 512


@dataclass(frozen=True, eq=False)
class Rates:
    """Rates of C classes on M images.

    Args:
        per_class: name to `recall`, `specificity`, `precision`, `npv`, `f1` (NaN where nothing is
            counted; F1 also of a class without images), `support` (images of the class) and
            `intervals`: rate to its two ends, None where nothing is counted or where several
            images are all of one group.
        macro_f1: mean F1 over the classes that have images.
        macro_f1_interval: by resampling; None for one group, where the F1 of one of these classes
            has no interval, and where no resample changes it.
        accuracy: share of images that are answered right, all of their labels.
        interval: of the accuracy; None for several images of one group.
        units: independent images: groups, each image without one being its own.
        method: `wilson`, or `wilson, effective sample size` where images belong to groups; of
            every interval but that of `macro_f1`.
    """

    per_class: Mapping[str, Mapping[str, Any]]
    macro_f1: float
    macro_f1_interval: tuple[float, float] | None
    accuracy: float
    interval: tuple[float, float] | None
    units: int
    method: str


def class_rates(
    given: ArrayLike, shown: ArrayLike, classes: Sequence[str], units: ArrayLike | None = None
) -> Rates:
    """Measure yes/no answers against the truth, class by class.

    Args:
        given: `[M, C]`, whether the class is answered.
        shown: `[M, C]`, whether the image is of it.
        classes: C names.
        units: `[M]`, equal for images that belong together; each image alone when not given.

    Raises:
        InputError: shapes that disagree, no images.

    >>> found = class_rates([[1, 0], [1, 0], [0, 1]], [[1, 0], [0, 1], [0, 1]], ("cat", "dog"))
    >>> {k: round(found.per_class["cat"][k], 2) for k in RATES}
    {'recall': 1.0, 'specificity': 0.5, 'precision': 0.5, 'npv': 1.0, 'f1': 0.67}
    """
    yes, wanted = np.asarray(given) > 0, np.asarray(shown) > 0
    if not len(yes) or {yes.shape, wanted.shape} != {(len(yes), len(classes))}:
        raise InputError(
            f"expected answers and truth [M, {len(classes)}], M at least 1, got "
            f"{[*yes.shape]} and {[*wanted.shape]}"
        )
    numbers = check_units(units, len(yes))
    right = (yes == wanted).all(axis=1)
    columns = np.concatenate(
        [yes & wanted, yes, wanted, right[:, None], np.ones((len(yes), 1), bool)], axis=1
    )
    sums = sums_by_unit(columns, numbers)
    hits, among = (
        part[0] for part in _shares(np.asarray(sums.sum(axis=0)).reshape(1, -1), len(classes))
    )
    values, intervals = _divide(hits, among), share_intervals(hits, among, _effective(sums))
    last, there = 4 * len(classes), np.asarray(wanted.any(axis=0))
    for part in (values, intervals):  # J to F1
        part[last:-1] = 2 * part[last:-1] / (1 + part[last:-1])
        part[last:-1][~there] = np.nan
    f1 = values[last:-1]
    known = there.any() and not np.isnan(intervals[last:-1][there]).any()
    drawn = _macro_f1(resampled_sums(sums), len(classes), there) if known else np.full(1, np.nan)
    return Rates(
        _per_class(values, intervals, wanted.sum(axis=0), classes),
        float(f1[there].mean()) if there.any() else 0.0,
        _ends(varying_interval(drawn, sums.shape[0])),
        float(values[-1]),
        _ends(intervals[-1]),
        sums.shape[0],
        WILSON if each_alone(numbers) else EFFECTIVE,
    )


def share_interval(
    hits: ArrayLike, units: ArrayLike | None = None, among: ArrayLike | None = None
) -> tuple[float, float] | None:
    """The interval of a share; None where nothing is known of it.

    Wilson's, of as many images as they are worth (`handful.metrics.design_effect`).

    Args:
        hits: `[M]`, yes or no.
        units: `[M]` as for `class_rates`.
        among: `[M]`, which images count; all when not given.
    """
    yes = np.asarray(hits) > 0
    counted = np.ones(len(yes), bool) if among is None else np.asarray(among) > 0
    if not counted.any():
        return None
    numbers = np.unique(check_units(units, len(yes))[counted], return_inverse=True)[1]
    sizes = np.bincount(numbers).astype(np.float64)
    right = np.bincount(numbers, weights=yes[counted]).astype(np.float64)
    hits, among = np.array([right.sum()]), np.array([sizes.sum()])
    size = _worth(hits, among, *_over_groups(right[:, None], sizes[:, None]))
    return _ends(share_intervals(hits, among, size)[0])


def _shares(sums: Floats, count: int) -> tuple[Floats, Floats]:
    """`[B, 3 C + 2]` sums to what is counted and among how many, `[B, 5 C + 1]` each.

    The columns are recall, specificity, precision, npv and J of the C classes, then the accuracy.
    """
    both, given, shown = (sums[:, i * count : (i + 1) * count] for i in range(3))
    right, total = sums[:, -2:-1], sums[:, -1:]
    neither = total - given - shown + both
    hits = np.concatenate([both, neither, both, neither, both, right], axis=1)
    among = [shown, total - shown, given, total - given, given + shown - both, total]
    return hits, np.concatenate(among, axis=1)


def _effective(sums: Any) -> Floats:
    """`[5 C + 1]`, how many independent images those that each rate counts are worth."""
    classes = (sums.shape[1] - 2) // 3
    found = np.zeros((5, 5 * classes + 1))
    for start in range(0, sums.shape[0], _ROWS):  # of many groups and classes they are large
        hits, among = _shares(np.asarray(sums[start : start + _ROWS].todense()), classes)
        found += [hits.sum(axis=0), among.sum(axis=0), *_over_groups(hits, among)]
    return _worth(*found)


def _over_groups(hits: Floats, among: Floats) -> tuple[Floats, Floats, Floats]:
    """`[G, S]` counts to three sums `[S]` for `effective_size`: groups, squares, within."""
    within = np.divide(hits * (among - hits), among, out=np.zeros(among.shape), where=among > 0)
    groups = (among > 0).sum(axis=0).astype(np.float64)
    return groups, (among**2).sum(axis=0), within.sum(axis=0)


def _worth(hits: Floats, among: Floats, groups: Floats, squares: Floats, within: Floats) -> Floats:
    share = _divide(hits, among)
    rarer = np.minimum(hits, among - hits)
    return effective_size(among, groups, squares, within, share * (1 - share), rarer)


def _divide(hits: Floats, among: Floats) -> Floats:
    return np.asarray(np.divide(hits, among, out=np.full(hits.shape, np.nan), where=among > 0))


def _macro_f1(sums: Floats, count: int, there: NDArray[np.bool_]) -> Floats:
    """`[B]` mean F1 over the classes that have images at all, and have some in the resample."""
    both, given, shown = (sums[:, i * count : (i + 1) * count][:, there] for i in range(3))
    f1 = np.where(shown > 0, _divide(2 * both, given + shown), np.nan)
    known = ~np.isnan(f1)
    return _divide(np.where(known, f1, 0).sum(axis=1), known.sum(axis=1).astype(np.float64))


def _per_class(
    values: Floats, intervals: Floats, support: NDArray[Any], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    by_rate = values[:-1].reshape(len(RATES), len(classes))
    ends = intervals[:-1].reshape(len(RATES), len(classes), 2)
    return {
        str(name): {
            **{rate: float(by_rate[r, c]) for r, rate in enumerate(RATES)},
            "support": int(support[c]),
            "intervals": {rate: _ends(ends[r, c]) for r, rate in enumerate(RATES)},
        }
        for c, name in enumerate(classes)
    }


def _ends(interval: Floats) -> tuple[float, float] | None:
    low, high = (float(end) for end in interval)
    return None if np.isnan(low) or np.isnan(high) else (low, high)
