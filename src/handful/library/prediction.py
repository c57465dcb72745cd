"""What a library answers of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handful.contracts import Array, ClassText
from handful.library.ensemble import SkillEnsemble, TunedFeatures
from handful.library.zero_shot import known_class_discount, zero_shot
from handful.skills.predict import Prediction, Score


@dataclass(frozen=True)
class LibraryPrediction(Prediction):
    """The answer of a library to one image.

    Args:
        task: the skill that answered; None where zero-shot did.
        share: how likely that task is, were the image of one of the library's; None where the task
            was named or zero-shot answered.
        zero_shot: answered by the text of the classes alone, since the image is of no known task.
    """

    task: str | None = None
    share: float | None = None
    zero_shot: bool = False


def top_scores(labels: Sequence[str], probabilities: Array, top_k: int | None) -> list[list[Score]]:
    """Of each row the most likely labels, in order; those of probability 0 are left out."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    return [
        [{"label": labels[c], "score": float(row[c])} for c in best if row[c] > 0]
        for row, best in zip(probabilities, order, strict=True)
    ]


def routed_predictions(
    ensemble: SkillEnsemble,
    features: Array,
    names: Sequence[str],
    unknown: float | None,
    top_k: int | None,
    extra_classes: ClassText | None,
    tuned_features: TunedFeatures | None,
) -> list[LibraryPrediction]:
    """Answers to `[M, D]` features of images whose task is not known.

    The arguments are those of `Library.predict_features`.
    """
    found = ensemble.predict(features, unknown, tuned_features)
    scores = top_scores(ensemble.labels, found.probabilities, top_k)
    routed = zip(names, scores, found.tasks, found.task_probabilities, strict=True)
    if found.false_accept_rates is None or unknown is None:
        return [
            LibraryPrediction(name, row, task=ensemble.names[t], share=float(share))
            for name, row, t, share in routed
        ]
    discount = known_class_discount(found.false_accept_rates, unknown)
    labels, by_text = zero_shot(ensemble, features, extra_classes, discount)
    text_scores = top_scores(labels, by_text, top_k)
    return [
        LibraryPrediction(
            name, row, None, False, float(rate), task=ensemble.names[t], share=float(share)
        )
        if rate <= unknown
        else LibraryPrediction(name, text_row, None, True, float(rate), zero_shot=True)
        for (name, row, t, share), rate, text_row in zip(
            routed, found.false_accept_rates, text_scores, strict=True
        )
    ]
