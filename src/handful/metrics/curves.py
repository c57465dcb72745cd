"""ROC and precision-recall curves of each class against the rest, and the areas under them.

A curve says how well the scores rank images, whatever the threshold. The area under the ROC curve
is the chance that an image of the class scores higher than one of another class. That under the
precision-recall curve is the average precision (its step sum: linear interpolation is too
optimistic, Davis and Goadrich, ICML 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError
from handful.metrics.intervals import auroc_interval
from handful.metrics.resampling import (
    RESAMPLES,
    Floats,
    check_units,
    percentile_interval,
    resample_counts,
    sums_by_unit,
    varying_interval,
)

AREAS = ("auroc", "average_precision")
_FEWEST = 200  # resamples
_WORK = 2e8  # resampled scores: a few seconds


@dataclass(frozen=True, eq=False)
class Curve:
    """Both curves of one class; without arrays where all or none of the images are of it.

    Args:
        false_positive_rate, recall: `[K]` of the ROC curve, from (0, 0) to (1, 1).
        precision_at, recall_at: `[L]` of the precision-recall curve, from recall 1 to 0.
    """

    false_positive_rate: Floats
    recall: Floats
    precision_at: Floats
    recall_at: Floats


def curve(scores: ArrayLike, shown: ArrayLike) -> Curve | None:
    """The curves of one class; None where all or none of the images are of it.

    Args:
        scores: `[M]` probabilities of the class.
        shown: `[M]`, whether the image is of it.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve  # slow to import

    yes = np.asarray(shown) > 0
    if yes.all() or not yes.any():
        return None
    false, true, _ = roc_curve(yes, np.asarray(scores))
    precision, recall, _ = precision_recall_curve(yes, np.asarray(scores))
    return Curve(false, true, precision, recall)


def areas(
    scores: ArrayLike, shown: ArrayLike, classes: Sequence[str], units: ArrayLike | None = None
) -> dict[str, Any]:
    """Areas under both curves, of each class against the rest and their means.

    Args:
        scores: `[M, C]` probabilities.
        shown: `[M, C]`, whether the image is of the class.
        classes: C names.
        units: `[M]`, equal for images that belong together; each image alone when not given.

    Returns:
        `macro` and `per_class` (name to the same): `auroc`, `average_precision`, each None where
        all or none of the images are of the class, and `intervals`, by resampling groups (or
        images where none are stated). That of an AUROC also holds the one of `auroc_interval` for
        as many positives and negatives as there are groups of them: near 0 and 1 resamples hardly
        vary. They are None where the images of the class, or all others, are of one group (or one
        image); of a mean, where one of its classes has none; where no resample changes the
        number; and where they would take long: more than a million scores.

    Raises:
        InputError: shapes that disagree.

    >>> found = areas([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]], [[1, 0], [1, 0], [0, 1]], "ab")
    >>> found["per_class"]["a"]["auroc"], found["macro"]["auroc"]
    (0.5, 0.5)
    """
    given, yes = np.asarray(scores), np.asarray(shown) > 0
    if given.ndim != 2 or given.shape != yes.shape or given.shape[1] != len(classes):
        raise InputError(
            f"expected scores and truth [M, {len(classes)}], got {[*given.shape]}, {[*yes.shape]}"
        )
    numbers = check_units(units, len(given))
    groups = int(numbers.max()) + 1
    defined = [c for c in range(len(classes)) if yes[:, c].any() and not yes[:, c].all()]
    values = np.full((len(AREAS), len(classes)), np.nan)
    for c in defined:
        values[:, c] = _areas(given[:, c], yes[:, c], np.ones((1, len(given))))[:, 0]
    ends = np.full((len(AREAS), len(classes) + 1, 2), np.nan)  # the last is of the mean
    resamples = int(min(RESAMPLES, _WORK / max(given.size, 1)))
    if defined and resamples >= _FEWEST:
        drawn = np.concatenate(
            [
                np.stack([_areas(given[:, c], yes[:, c], part[:, numbers]) for c in defined], 1)
                for part in resample_counts(groups, resamples)
            ],
            axis=2,
        )  # [2, classes, B]
        sides = _groups_of_sides(yes, numbers)
        for place, c in enumerate(defined):
            ends[:, c] = _intervals(drawn[:, place], values[0, c], sides[:, c])
        for a, mean in enumerate(_mean(drawn)):
            if not np.isnan(ends[a, defined]).any():
                ends[a, -1] = varying_interval(mean, groups)
    return {
        "macro": _entry(_mean(values[:, defined]), ends[:, -1]),
        "per_class": {
            str(name): _entry(values[:, c], ends[:, c]) for c, name in enumerate(classes)
        },
    }


def _areas(scores: NDArray[Any], yes: NDArray[np.bool_], weights: Floats) -> Floats:
    """`[2, B]` areas of one class under `[B, M]` weights; NaN without images on both sides."""
    order = np.argsort(-scores, kind="stable")
    # of equal scores the curve has one point, after the last
    last = np.append(np.diff(scores[order]) != 0, True)
    sorted_weights = weights[:, order]
    true = (sorted_weights * yes[order]).cumsum(axis=1)[:, last]
    false = (sorted_weights * ~yes[order]).cumsum(axis=1)[:, last]
    positives, negatives = true[:, -1], false[:, -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, fall_out = true / positives[:, None], false / negatives[:, None]
        precision = np.where(true > 0, true / (true + false), 0.0)
        step = np.diff(recall, axis=1, prepend=0.0)
        before = np.concatenate([np.zeros((len(recall), 1)), recall[:, :-1]], axis=1)
        across = np.diff(fall_out, axis=1, prepend=0.0)
        auroc = ((recall + before) / 2 * across).sum(axis=1)
        average = (precision * step).sum(axis=1)
    both = (positives > 0) & (negatives > 0)
    return np.asarray(np.where(both, np.stack([auroc, average]), np.nan))


def _groups_of_sides(yes: NDArray[np.bool_], units: NDArray[np.int64]) -> NDArray[np.int64]:
    """`[2, C]`, groups with an image of each class, and with an image that is not of it."""
    own = sums_by_unit(yes, units).toarray()
    sizes = np.bincount(units)[:, None]
    return np.stack([(own > 0).sum(axis=0), (own < sizes).sum(axis=0)])


def _intervals(drawn: Floats, auroc: float, sides: NDArray[np.int64]) -> Floats:
    """`[2, 2]` intervals of the areas `[2, B]` of one class."""
    fewest = int(sides.min())
    if fewest < 2:
        return np.full((2, 2), np.nan)
    low, high = percentile_interval(drawn[0], fewest)
    least, most = auroc_interval(auroc, int(sides[0]), int(sides[1]))
    return np.array([(min(low, least), max(high, most)), varying_interval(drawn[1], fewest)])


def _mean(values: Floats) -> Floats:
    """Over the classes, the second axis, that have the area."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0).sum(axis=1), known.sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0))


def _entry(values: Floats, ends: Floats) -> dict[str, Any]:
    return {
        **{name: _plain(value) for name, value in zip(AREAS, values, strict=True)},
        "intervals": {
            name: None if np.isnan(pair).any() else [float(end) for end in pair]
            for name, pair in zip(AREAS, ends, strict=True)
        },
    }


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
