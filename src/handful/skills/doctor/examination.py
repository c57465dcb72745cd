"""The examination of a support set: every image measured, and what stands out named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from handful.errors import InputError
from handful.packs.support import Support
from handful.skills.doctor import measures
from handful.skills.doctor.duplicates import SIMILAR, find_duplicates
from handful.skills.doctor.findings import Examination, Finding


def examine(
    support: Support,
    adapter: Any,
    *,
    sizes: Sequence[tuple[int, int] | None] | None = None,
    similar: float = SIMILAR,
) -> Examination:
    """Judge every support image by a fit of the others: those of other units (`Support.units`).

    Whatever the adapter, labels are judged by the left-out logits of `auto`, the likeliest blend
    (`handful.selection.label_errors`); whether an image hurts, by the exact influence in kernel
    ridge regression (`ridge_influence`). Whether the skill would have got the image right
    is the answer of its own method by leave-one-out.

    Args:
        support: the support set, N images of C classes.
        adapter: the method of the skill, fitted or not; it is not changed.
        sizes: N widths and heights, None where unknown.
        similar: cosine above which two pictures count as near-duplicates.

    Raises:
        InputError: `sizes` of another length, `similar` outside 0 to 1.
    """
    n, notes = len(support.ids), list[str]()
    if sizes is not None and len(sizes) != n:
        raise InputError(f"expected {n} sizes, one an image, got {len(sizes)}")
    duplicates = find_duplicates(support, similar, notes)
    labels = measures.judge_labels(support, notes)
    right = measures.answered_right(support, adapter, labels.left_out)
    influence = measures.influence(support, notes)
    harm = measures.harm(influence)
    distance = measures.class_distances(support)
    # whole pixels are the same in any precision, so nothing is nearly too small
    problems, near = _verdicts(labels.wrong, harm, distance)
    problems["small"] = measures.too_small(sizes, n, notes)
    classes, judged = support.text.classes, labels.by_others
    found = [
        Finding(
            row=i,
            name=support.names[i] or support.ids[i][:12],
            id=support.ids[i],
            label=classes[c],
            wrong=float(labels.wrong[i]),
            looks_like=classes[int(labels.probabilities[i].argmax())],
            given=float(labels.probabilities[i, c]),
            evidence=measures.LEFT_OUT if judged[i] else measures.TEXT_ALONE,
            right=bool(right[i]) if judged[i] else None,
            influence=None if np.isnan(influence[i]) else float(influence[i]),
            distance=None if np.isnan(distance[i]) else float(distance[i]),
            size=sizes[i] if sizes else None,
            problems=tuple(name for name, has in problems.items() if has[i]),
            near=tuple(name for name, is_near in near.items() if is_near[i]),
        )
        for i, c in enumerate(support.targets)
    ]
    found.sort(key=lambda f: (-f.wrong, f.given, f.row))
    return Examination(tuple(found), duplicates, support.counts, labels.rate, tuple(notes))


def _verdicts(
    wrong: measures.Doubles, harm: measures.Doubles, distance: measures.Doubles
) -> tuple[dict[str, measures.Flags], dict[str, measures.Flags]]:
    """Problem to `[N]`: whether its number is above the threshold, and whether it is near it."""
    numbers = {
        "label": (wrong, measures.SUSPECT, measures.NEAR_WRONG),
        "hurts": (harm, measures.FAR, measures.NEAR_DEVIATIONS),
        "far": (distance, measures.FAR, measures.NEAR_DEVIATIONS),
    }
    above = {name: np.asarray(x > threshold) for name, (x, threshold, _) in numbers.items()}
    return above, {name: measures.near(*three) for name, three in numbers.items()}
