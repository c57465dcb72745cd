"""F1 of multi-label classification: an image may show several classes, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError

FIXED_THRESHOLD = 0.5  # what learned thresholds are compared with


@dataclass(frozen=True, eq=False)
class MultiLabelEvaluation:
    """How good yes/no answers are on images that the skill has not seen.

    Args:
        classes: C names, in the order of the columns.
        micro_f1: F1 of all answers together, 0 to 1.
        macro_f1: mean F1 over the classes that have test images.
        exact: share of images with exactly the right set of classes.
        per_class: name to precision, recall, f1 and support (images that show the class).
        fixed: `micro_f1` and `macro_f1` with every threshold at one half instead.
        count: M, test images.
        unlabelled: test images that show none of the classes.
        absent: classes without test images; not in `macro_f1`.
    """

    classes: tuple[str, ...]
    micro_f1: float
    macro_f1: float
    exact: float
    per_class: Mapping[str, Mapping[str, float]]
    fixed: Mapping[str, float]
    count: int
    unlabelled: int
    absent: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as numbers, lists and texts, ready for JSON."""
        return {
            "multi_label": True,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "exact": self.exact,
            "fixed_threshold": {"threshold": FIXED_THRESHOLD, **self.fixed},
            "count": self.count,
            "unlabelled": self.unlabelled,
            "classes": list(self.classes),
            "absent": list(self.absent),
            "per_class": {name: dict(numbers) for name, numbers in self.per_class.items()},
        }


def evaluate_multi_label(
    answers: ArrayLike, truth: ArrayLike, classes: Sequence[str], fixed: ArrayLike | None = None
) -> MultiLabelEvaluation:
    """Measure yes/no answers against the truth.

    Args:
        answers: `[M, C]`, whether the class is answered.
        truth: `[M, C]`, whether the image shows it.
        classes: C names.
        fixed: `[M, C]`, the answers with every threshold at one half, to compare with; the same as
            `answers` by default.

    Raises:
        InputError: shapes that disagree, no images.

    >>> result = evaluate_multi_label([[1, 1], [0, 1]], [[1, 0], [0, 1]], ("cat", "dog"))
    >>> round(result.micro_f1, 3), round(result.macro_f1, 3), result.exact
    (0.8, 0.833, 0.5)
    """
    yes, wanted = np.asarray(answers) > 0, np.asarray(truth) > 0
    other = yes if fixed is None else np.asarray(fixed) > 0
    shape = (len(yes), len(classes))
    if not len(yes) or yes.shape != shape or wanted.shape != shape or other.shape != shape:
        raise InputError(
            f"expected answers and truth [M, {len(classes)}], M at least 1, got "
            f"{[*yes.shape]} and {[*wanted.shape]}"
        )
    hits, answered, images = (yes & wanted).sum(0), yes.sum(0), wanted.sum(0)
    # F1 = 2 TP / (2 TP + FP + FN), and answered + images = 2 TP + FP + FN
    f1 = 2 * hits / np.maximum(answered + images, 1)
    micro, macro = _f1(yes, wanted)
    return MultiLabelEvaluation(
        classes=tuple(classes),
        micro_f1=micro,
        macro_f1=macro,
        exact=float((yes == wanted).all(1).mean()),
        per_class={
            str(name): {
                "precision": float(hits[c] / max(answered[c], 1)),
                "recall": float(hits[c] / max(images[c], 1)),
                "f1": float(f1[c]),
                "support": int(images[c]),
            }
            for c, name in enumerate(classes)
        },
        fixed=dict(zip(("micro_f1", "macro_f1"), _f1(other, wanted), strict=True)),
        count=len(yes),
        unlabelled=int((~wanted.any(1)).sum()),
        absent=tuple(str(n) for n, i in zip(classes, images, strict=True) if not i),
    )


def _f1(yes: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> tuple[float, float]:
    """Micro and macro; where neither truth nor answer has any class, all is right."""
    # micro: all cells as one class; macro: mean over the classes that have images
    hits, both, there = (yes & wanted).sum(0), yes.sum(0) + wanted.sum(0), wanted.any(0)
    micro = float(2 * hits.sum() / both.sum()) if both.any() else 1.0
    macro = float((2 * hits[there] / both[there]).mean()) if there.any() else micro
    return micro, macro
