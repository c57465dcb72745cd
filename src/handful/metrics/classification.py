"""Accuracy, F1 and confusion of single-label classification, from logits and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError
from handful.metrics.intervals import wilson_interval


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
    scores, truth = checked_logits(logits, targets)
    if scores.shape[1] != len(classes):
        raise InputError(
            f"expected one column a class, got {scores.shape[1]} columns for {len(classes)} classes"
        )
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support  # slow to import

    answers = scores.argmax(axis=1)
    # all columns, or scikit-learn would drop classes that neither truth nor answers have
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
        # the F1 of a class without images is undefined
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
