"""Sensitivity, specificity, predictive values and F1 of each class, with their intervals.

    recall (sensitivity)   of the images of a class, the share answered so
    specificity            of the images of other classes, the share not answered so
    precision (PPV)        of the images answered with a class, the share that are of it
    npv                    of the images not answered so, the share that are not of it
    f1                     2 TP / (2 TP + FP + FN)

Each is a share. Where every image stands alone its interval is Wilson's; that of F1 is the one of
`J = TP / (TP + FP + FN)`, a share too, through `F1 = 2 J / (1 + J)`. Where images belong to
groups, the groups are drawn anew (`handful.metrics.resampling`); a share of exactly 0 or 1, which
no resample changes, then has the Wilson interval of as many images as there are groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError
from handful.metrics.intervals import wilson_interval
from handful.metrics.resampling import (
    Floats,
    check_units,
    each_alone,
    percentile_interval,
    resampled_sums,
    sums_by_unit,
)

RATES = ("recall", "specificity", "precision", "npv", "f1")
WILSON = "wilson"
BOOTSTRAP = "cluster bootstrap"
_ROWS = 512


@dataclass(frozen=True, eq=False)
class Rates:
    """Rates of C classes on M images.

    Args:
        per_class: name to `recall`, `specificity`, `precision`, `npv`, `f1` (0 where nothing is
            counted), `support` (images of the class) and `intervals`: rate to its two ends, None
            where nothing is counted or all of it is of one group.
        macro_f1: mean F1 over the classes that have images.
        macro_f1_interval: by resampling; None for one group.
        accuracy: share of images that are answered right, all of their labels.
        interval: of the accuracy.
        units: independent images: groups, each image without one being its own.
        method: `wilson` or `cluster bootstrap`, of every interval but that of `macro_f1`.
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
    hits, among = _shares(np.asarray(sums.sum(axis=0)).reshape(1, -1), len(classes))
    resampled = resampled_sums(sums)  # macro-F1 is no share and always needs them
    alone, groups = each_alone(numbers), sums.shape[0]
    if alone:
        intervals = _wilson(hits[0], among[0])
    else:
        drawn, of = _shares(resampled, len(classes))
        intervals = _where_constant(
            percentile_interval(_divide(drawn, of), groups), hits[0], among[0], _units(sums)
        )
    values = np.nan_to_num(_divide(hits, among)[0])  # 0 where nothing is counted
    last = 4 * len(classes)
    for part in (values, intervals):  # J to F1
        part[last:-1] = 2 * part[last:-1] / (1 + part[last:-1])
    there = np.asarray(wanted.any(axis=0))
    return Rates(
        _per_class(values, intervals, wanted.sum(axis=0), classes),
        float(values[last:-1][there].mean()) if there.any() else float(values[last:-1].mean()),
        _ends(percentile_interval(_macro_f1(resampled, len(classes), there), groups)),
        float(values[-1]),
        _ends(intervals[-1]),
        groups,
        WILSON if alone else BOOTSTRAP,
    )


def share_interval(
    hits: ArrayLike, units: ArrayLike | None = None, among: ArrayLike | None = None
) -> tuple[float, float] | None:
    """The interval of a share: Wilson's, or by groups; None where nothing is known of it.

    Args:
        hits: `[M]`, yes or no.
        units: `[M]` as for `class_rates`.
        among: `[M]`, which images count; all when not given.
    """
    yes = np.asarray(hits) > 0
    counted = np.ones(len(yes), bool) if among is None else np.asarray(among) > 0
    if not counted.any():
        return None
    numbers = check_units(units, len(yes))[counted]
    numbers = np.unique(numbers, return_inverse=True)[1]
    yes = yes[counted]
    if each_alone(numbers):
        return wilson_interval(int(yes.sum()), len(yes))
    sums = sums_by_unit(np.stack([yes, np.ones(len(yes), bool)], axis=1), numbers)
    drawn = resampled_sums(sums)
    found = percentile_interval(_divide(drawn[:, :1], drawn[:, 1:]), sums.shape[0])
    counts = (np.array([float(yes.sum())]), np.array([float(len(yes))]))
    return _ends(_where_constant(found, *counts, np.array([sums.shape[0]]))[0])


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


def _units(sums: Any) -> NDArray[np.int64]:
    """`[5 C + 1]`, how many groups have an image among those that each rate counts."""
    classes = (sums.shape[1] - 2) // 3
    found = np.zeros(5 * classes + 1, dtype=np.int64)
    for start in range(0, sums.shape[0], _ROWS):  # of many groups and classes they are large
        _, among = _shares(np.asarray(sums[start : start + _ROWS].todense()), classes)
        found += (among > 0).sum(axis=0)
    return found


def _divide(hits: Floats, among: Floats) -> Floats:
    return np.asarray(np.divide(hits, among, out=np.full(hits.shape, np.nan), where=among > 0))


def _wilson(hits: Floats, among: Floats) -> Floats:
    """`[S, 2]` intervals of S shares; NaN where nothing is counted."""
    found = [
        wilson_interval(h, n) if n else (np.nan, np.nan)
        for h, n in zip(hits.tolist(), map(int, among), strict=True)
    ]
    return np.array(found, dtype=np.float64)


def _where_constant(
    intervals: Floats, hits: Floats, among: Floats, units: NDArray[np.int64]
) -> Floats:
    """Wilson's intervals of as many images as there are groups, for shares of exactly 0 or 1."""
    constant = (hits == 0) | (hits == among)
    instead = _wilson(np.where(hits > 0, units, 0), np.where(among > 0, units, 0))
    return np.asarray(np.where(constant[:, None], instead, intervals))


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
