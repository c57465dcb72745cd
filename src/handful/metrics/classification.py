"""Logits and targets to numbers with intervals: pure functions, no torch, no state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from handful.errors import InputError


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How good a classifier is on images it has not seen.

    Args:
        classes: C names, in the order of the columns.
        accuracy: share of right answers, 0 to 1.
        interval: the 95 % Wilson interval of the accuracy, from the number of images alone.
        macro_f1: mean F1 over the classes that have test images; the others are in `absent`.
        per_class: name to precision, recall, f1 and support (images of the class). A class that
            is never answered has precision 0; one without images has recall 0 and support 0.
        confusion: `[C, C]` counts; rows are true classes, columns answers.
        count: M, test images.
        absent: classes without test images. They are left out of `macro_f1`, but answering one of
            them is a mistake like any other.
    """

    classes: tuple[str, ...]
    accuracy: float
    interval: tuple[float, float]
    macro_f1: float
    per_class: Mapping[str, Mapping[str, float]]
    confusion: NDArray[np.int64]
    count: int
    absent: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as numbers, lists and texts, ready for JSON."""
        return {
            "accuracy": self.accuracy,
            "interval": list(self.interval),
            "macro_f1": self.macro_f1,
            "count": self.count,
            "classes": list(self.classes),
            "absent": list(self.absent),
            "per_class": {name: dict(numbers) for name, numbers in self.per_class.items()},
            "confusion": self.confusion.tolist(),
        }


def evaluate(logits: ArrayLike, targets: ArrayLike, classes: Sequence[str]) -> Evaluation:
    """Measure answers against the truth; the first of equal logits is the answer.

    Args:
        logits: `[M, C]`.
        targets: `[M]` columns.
        classes: C names.

    Raises:
        InputError: no images, shapes that disagree, a target that is no column, NaN.

    >>> result = evaluate([[2, 1], [0, 1], [3, 0]], [0, 1, 1], ("cat", "dog"))
    >>> round(result.accuracy, 3), result.confusion.tolist()
    (0.667, [[1, 0], [1, 1]])
    """
    scores, truth = _checked(logits, targets)
    if scores.shape[1] != len(classes):
        raise InputError(
            f"expected one column a class, got {scores.shape[1]} columns for {len(classes)} classes"
        )
    answers = scores.argmax(axis=1)
    columns = np.arange(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        truth, answers, labels=columns, zero_division=0
    )
    per_class = {
        str(name): {
            "precision": float(precision[c]),
            "recall": float(recall[c]),
            "f1": float(f1[c]),
            "support": int(support[c]),
        }
        for c, name in enumerate(classes)
    }
    right = int((answers == truth).sum())
    return Evaluation(
        classes=tuple(map(str, classes)),
        accuracy=right / len(truth),
        interval=wilson_interval(right, len(truth)),
        macro_f1=float(f1[support > 0].mean()),
        per_class=per_class,
        confusion=confusion_matrix(truth, answers, labels=columns).astype(np.int64),
        count=len(truth),
        absent=tuple(
            str(name) for name, images in zip(classes, support, strict=True) if not images
        ),
    )


def accuracy(logits: ArrayLike, targets: ArrayLike) -> float:
    """Share of rows of `[M, C]` logits whose largest column is the target, 0 to 1.

    Raises:
        InputError: no images, shapes that disagree, a target that is no column, NaN.

    >>> accuracy([[2, 1], [0, 1]], [0, 0])
    0.5
    """
    scores, truth = _checked(logits, targets)
    return float((scores.argmax(axis=1) == truth).mean())


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
    chances, truth = _checked(probabilities, targets)
    if bins < 1:
        raise InputError(f"expected at least one bin, got {bins}")
    best, right = chances.max(axis=1).astype(np.float64), chances.argmax(axis=1) == truth
    if best.min() < 0 or best.max() > 1 + 1e-6:
        raise InputError("expected probabilities from 0 to 1; logits need a softmax first")
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


def wilson_interval(right: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Interval of a share, `right` of `count`; honest for few images and for shares near 0 or 1.

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
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, spread = right / count, z * z / count
    middle = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    # the ends are exact at 0 and 1; rounding must not push them outside
    low, high = (middle - half) / (1 + spread), (middle + half) / (1 + spread)
    return (0.0 if right == 0 else max(low, 0.0), 1.0 if right == count else min(high, 1.0))


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
    t = float(stdtrit(len(numbers) - 1, (1 + level) / 2))
    return float(numbers.mean()), t * float(numbers.std(ddof=1)) / math.sqrt(len(numbers))


def _checked(
    logits: ArrayLike, targets: ArrayLike
) -> tuple[NDArray[np.floating[Any]], NDArray[np.integer[Any]]]:
    """`[M, C]` and `[M]` arrays that fit each other."""
    scores, truth = np.asarray(logits), np.asarray(targets)
    if scores.ndim != 2 or truth.shape != scores.shape[:1] or 0 in scores.shape:
        raise InputError(
            f"expected logits [M, C] and targets [M] with M, C >= 1, "
            f"got {list(scores.shape)} and {list(truth.shape)}"
        )
    if not np.issubdtype(truth.dtype, np.integer):
        raise InputError(f"expected targets as columns (integers), got {truth.dtype}")
    outside = np.unique(truth[(truth < 0) | (truth >= scores.shape[1])])
    if len(outside):
        raise InputError(
            f"targets {outside[:5].tolist()} are not columns; expected 0 to {scores.shape[1] - 1}"
        )
    if np.isnan(scores).any():
        raise InputError("logits contain NaN; the answers would mean nothing")
    return scores, truth
