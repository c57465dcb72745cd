"""Accuracy, F1 and confusion of single-label classification, from logits and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError
from handful.metrics.rates import WILSON, class_rates


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a classifier is on images it has not seen.

    Args:
        classes: C names, in the order of the columns.
        accuracy: share of right answers, 0 to 1.
        interval: the 95 % interval of the accuracy: Wilson's, of as many images as they are worth
            where they belong to groups; None where several are all of one group. See
            `metrics.rates`.
        macro_f1: mean F1 over the classes that have test images; the others are in `absent`.
        per_class: name to recall (sensitivity), specificity, precision (PPV), npv, f1, support
            (images of the class) and `intervals` of the five. NaN (null in JSON) where nothing is
            counted: the precision of a class that is never answered, recall and F1 of one without
            images.
        confusion: `[C, C]` counts; rows are true classes, columns answers.
        count: M, test images.
        absent: classes without test images. They are left out of `macro_f1`, but answering one of
            them is a mistake like any other.
        units: independent test images: groups, each image without one being its own.
        interval_method: `wilson` or `wilson, effective sample size`.
        macro_f1_interval: of `macro_f1`, always by resampling.
    """

    classes: tuple[str, ...]
    accuracy: float
    interval: tuple[float, float] | None
    macro_f1: float
    per_class: Mapping[str, Mapping[str, Any]]
    confusion: NDArray[np.int64]
    count: int
    absent: tuple[str, ...]
    units: int
    interval_method: str = WILSON
    macro_f1_interval: tuple[float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as numbers, lists and texts, ready for JSON."""
        return {
            "accuracy": self.accuracy,
            "interval": as_list(self.interval),
            "interval_method": self.interval_method,
            "macro_f1": self.macro_f1,
            "macro_f1_interval": as_list(self.macro_f1_interval),
            "count": self.count,
            "units": self.units,
            "classes": list(self.classes),
            "absent": list(self.absent),
            "per_class": per_class_json(self.per_class),
            "confusion": self.confusion.tolist(),
        }


def evaluate(
    logits: ArrayLike, targets: ArrayLike, classes: Sequence[str], units: ArrayLike | None = None
) -> Evaluation:
    """Measure answers against the truth; the first of equal logits is the answer.

    Args:
        logits: `[M, C]`, or probabilities.
        targets: `[M]` columns.
        classes: C names.
        units: `[M]`, equal for images that belong together; each image alone when not given.

    Raises:
        InputError: no images, shapes that disagree, a target that is no column, NaN.

    >>> result = evaluate([[2, 1], [0, 1], [3, 0]], [0, 1, 1], ("cat", "dog"))
    >>> round(result.accuracy, 3), result.confusion.tolist()
    (0.667, [[1, 0], [1, 1]])
    """
    scores, truth = checked_logits(logits, targets)
    if scores.shape[1] != len(classes):
        raise InputError(
            f"expected one column a class, got {scores.shape[1]} columns for {len(classes)} classes"
        )
    answers, columns = scores.argmax(axis=1), np.arange(len(classes))
    rates = class_rates(answers[:, None] == columns, truth[:, None] == columns, classes, units)
    cells = np.bincount(truth * len(classes) + answers, minlength=len(classes) ** 2)
    return Evaluation(
        classes=tuple(map(str, classes)),
        accuracy=rates.accuracy,
        interval=rates.interval,
        macro_f1=rates.macro_f1,  # the F1 of a class without images is undefined
        per_class=rates.per_class,
        confusion=cells.reshape(len(classes), len(classes)).astype(np.int64),
        count=len(truth),
        absent=tuple(name for name, c in rates.per_class.items() if not c["support"]),
        units=rates.units,
        interval_method=rates.method,
        macro_f1_interval=rates.macro_f1_interval,
    )


def as_list(interval: tuple[float, float] | None) -> list[float] | None:
    """An interval for JSON."""
    return None if interval is None else list(interval)


def per_class_json(per_class: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rates and intervals of each class for JSON; null for a rate that is not defined."""
    return {
        name: {
            **{key: None if value != value else value for key, value in row.items()},  # NaN
            "intervals": {k: as_list(v) for k, v in row["intervals"].items()},
        }
        for name, row in per_class.items()
    }


def accuracy(logits: ArrayLike, targets: ArrayLike) -> float:
    """Share of rows of `[M, C]` logits whose largest column is the target, 0 to 1.

    Raises:
        InputError: no images, shapes that disagree, a target that is no column, NaN.

    >>> accuracy([[2, 1], [0, 1]], [0, 0])
    0.5
    """
    scores, truth = checked_logits(logits, targets)
    return float((scores.argmax(axis=1) == truth).mean())


def checked_logits(
    logits: ArrayLike, targets: ArrayLike
) -> tuple[NDArray[np.floating[Any]], NDArray[np.integer[Any]]]:
    """`[M, C]` and `[M]` arrays that fit each other."""
    scores, truth = np.asarray(logits), np.asarray(targets)
    if scores.ndim != 2 or truth.shape != scores.shape[:1] or 0 in scores.shape:
        raise InputError(
            f"expected logits [M, C] and targets [M] with M, C >= 1, "
            f"got {list(scores.shape)} and {list(truth.shape)}"
        )
    # a mask or a table of probabilities would compare without an error
    if not np.issubdtype(truth.dtype, np.integer):
        raise InputError(f"expected targets as columns (integers), got {truth.dtype}")
    outside = np.unique(truth[(truth < 0) | (truth >= scores.shape[1])])
    if len(outside):
        raise InputError(
            f"targets {outside[:5].tolist()} are not columns; expected 0 to {scores.shape[1] - 1}"
        )
    # argmax takes a NaN for the largest, so it would be the answer
    if np.isnan(scores).any():
        raise InputError("logits contain NaN; the answers would mean nothing")
    return scores, truth
