"""F1 of multi-label classification: an image may show several classes, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handful.errors import InputError
from handful.metrics.classification import as_list, per_class_json
from handful.metrics.rates import WILSON, class_rates

FIXED_THRESHOLD = 0.5  # what learned thresholds are compared with


@dataclass(frozen=True, eq=False)
class MultiLabelEvaluation:
    """How good yes/no answers are on images that the skill has not seen.

    Args:
        classes: C names, in the order of the columns.
        micro_f1: F1 of all answers together, 0 to 1.
        macro_f1: mean F1 over the classes that have test images.
        exact: share of images with exactly the right set of classes.
        per_class: name to recall (sensitivity), specificity, precision (PPV), npv, f1, support
            (images that show the class) and `intervals` of the five; see `metrics.rates`.
        fixed: `micro_f1` and `macro_f1` with every threshold at one half instead.
        count: M, test images.
        unlabelled: test images that show none of the classes.
        absent: classes without test images; not in `macro_f1`.
        units: independent test images: groups, each image without one being its own.
        exact_interval: the 95 % interval of `exact`, as of the rates of the classes.
        macro_f1_interval: of `macro_f1`, by resampling.
        interval_method: `wilson` or `wilson, effective sample size`.
    """

    classes: tuple[str, ...]
    micro_f1: float
    macro_f1: float
    exact: float
    per_class: Mapping[str, Mapping[str, Any]]
    fixed: Mapping[str, float]
    count: int
    unlabelled: int
    absent: tuple[str, ...]
    units: int
    exact_interval: tuple[float, float] | None = None
    macro_f1_interval: tuple[float, float] | None = None
    interval_method: str = WILSON

    def as_dict(self) -> dict[str, Any]:
        """The same as numbers, lists and texts, ready for JSON."""
        return {
            "multi_label": True,
            "micro_f1": self.micro_f1,
            "macro_f1": self.macro_f1,
            "macro_f1_interval": as_list(self.macro_f1_interval),
            "exact": self.exact,
            "exact_interval": as_list(self.exact_interval),
            "interval_method": self.interval_method,
            "fixed_threshold": {"threshold": FIXED_THRESHOLD, **self.fixed},
            "count": self.count,
            "units": self.units,
            "unlabelled": self.unlabelled,
            "classes": list(self.classes),
            "absent": list(self.absent),
            "per_class": per_class_json(self.per_class),
        }


def evaluate_multi_label(
    answers: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    fixed: ArrayLike | None = None,
    units: ArrayLike | None = None,
) -> MultiLabelEvaluation:
    """Measure yes/no answers against the truth.

    Args:
        answers: `[M, C]`, whether the class is answered.
        truth: `[M, C]`, whether the image shows it.
        classes: C names.
        fixed: `[M, C]`, the answers with every threshold at one half, to compare with; the same as
            `answers` by default.
        units: `[M]`, equal for images that belong together; each image alone when not given.

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
    rates = class_rates(yes, wanted, classes, units)
    micro, macro = _f1(yes, wanted)
    return MultiLabelEvaluation(
        classes=tuple(classes),
        micro_f1=micro,
        macro_f1=macro,
        exact=rates.accuracy,
        per_class=rates.per_class,
        fixed=dict(zip(("micro_f1", "macro_f1"), _f1(other, wanted), strict=True)),
        count=len(yes),
        unlabelled=int((~wanted.any(1)).sum()),
        absent=tuple(name for name, c in rates.per_class.items() if not c["support"]),
        units=rates.units,
        exact_interval=rates.interval,
        macro_f1_interval=rates.macro_f1_interval,
        interval_method=rates.method,
    )


def _f1(yes: NDArray[np.bool_], wanted: NDArray[np.bool_]) -> tuple[float, float]:
    """Micro and macro; where neither truth nor answer has any class, all is right."""
    # micro: all cells as one class; macro: mean over the classes that have images
    hits, both, there = (yes & wanted).sum(0), yes.sum(0) + wanted.sum(0), wanted.any(0)
    micro = float(2 * hits.sum() / both.sum()) if both.any() else 1.0
    macro = float((2 * hits[there] / both[there]).mean()) if there.any() else micro
    return micro, macro
