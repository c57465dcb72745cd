"""One answer of a library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array, ClassText
from handful.library.ensemble import See, Skills, strangeness
from handful.skills.predict import Prediction, Score


@dataclass(frozen=True)
class Answer(Prediction):
    """What a library says of one image.

    Args:
        task: the skill that answered; None where zero-shot did.
        share: how likely that task is, were the image of one of the library's; None where the task
            was named or zero-shot answered.
        zero_shot: answered by the text of the classes alone, since the image is of no known task.
    """

    task: str | None = None
    share: float | None = None
    zero_shot: bool = False


def scores(labels: Sequence[str], probabilities: Array, top_k: int | None) -> list[list[Score]]:
    """The best first; what has no probability at all is left out."""
    best: NDArray[np.int64] = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    return [
        [{"label": labels[c], "score": float(row[c])} for c in order if row[c] > 0]
        for row, order in zip(probabilities, best, strict=True)
    ]


def answered(
    skills: Skills,
    features: Array,
    names: Sequence[str],
    unknown: float | None,
    top_k: int | None,
    also: ClassText | None,
    see: See | None,
) -> list[Answer]:
    """Answers to `[M, D]` features of images whose task is not known; see `Library.says`."""
    found = skills.answers(features, unknown, see)
    rows = scores(skills.labels, found.probabilities, top_k)
    answers = [
        Answer(name, row, task=skills.names[t], share=float(share))
        for name, row, t, share in zip(names, rows, found.tasks, found.shares, strict=True)
    ]
    if found.familiar is None or unknown is None:
        return answers
    discount = strangeness(found.familiar, unknown)
    labels, chances = skills.zero_shot(features, also, discount)
    words = scores(labels, chances, top_k)
    return [
        Answer(a.name, a.scores, None, False, float(rate), task=a.task, share=a.share)
        if rate <= unknown
        else Answer(a.name, row, None, True, float(rate), zero_shot=True)
        for a, rate, row in zip(answers, found.familiar, words, strict=True)
    ]
