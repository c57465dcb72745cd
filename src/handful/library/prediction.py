"""What a library answers of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handful.contracts import Array, ClassText
from handful.library.ensemble import SkillEnsemble, TunedFeatures
from handful.library.zero_shot import known_class_discount, zero_shot
from handful.skills.prediction import Prediction, Score


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

    @property
    def facts(self) -> dict[str, Any]:
        """The skill that answered, how likely it is the right one, whether zero-shot answered."""
        return {"skill": self.task, "share": self.share, "zero_shot": self.zero_shot}


def predict_features(
    ensemble: SkillEnsemble,
    features: Array,
    names: Sequence[str],
    task: str | None = None,
    unknown: float | None = None,
    *,
    top_k: int | None = None,
    extra_classes: ClassText | None = None,
    tuned_features: TunedFeatures | None = None,
) -> list[LibraryPrediction]:
    """What `Library.predict` answers, for `[M, D]` features of the library's frozen encoder.

    Args:
        ensemble: the skills.
        features: unit rows.
        names: M names of the images.
        task: as for `Library.predict`, and so are the others.
        unknown: a false-accept rate.
        top_k: answers an image.
        extra_classes: further classes for zero-shot.
        tuned_features: of a task that tunes the encoder, and rows, to features of its own.

    Raises:
        InputError: a task tunes the encoder, and `tuned_features` is not given.
    """
    if not len(features):
        return []
    if task is not None:
        classes = ensemble.skills[ensemble.index(task)].classes
        probabilities = ensemble.predict_task(features, task, tuned_features)
        scores = _top_scores(classes, probabilities, top_k)
        return [LibraryPrediction(n, row, task=task) for n, row in zip(names, scores, strict=True)]
    found = ensemble.predict(features, unknown, tuned_features)
    scores = _top_scores(ensemble.labels, found.probabilities, top_k)
    answers = [
        LibraryPrediction(name, row, task=ensemble.names[t], share=float(share))
        for name, row, t, share in zip(
            names, scores, found.tasks, found.task_probabilities, strict=True
        )
    ]
    if found.false_accept_rates is None or unknown is None:
        return answers
    # the less familiar an image, the less likely any class of the library is
    discount = known_class_discount(found.false_accept_rates, unknown)
    labels, by_text = zero_shot(ensemble, features, extra_classes, discount)
    text_scores = _top_scores(labels, by_text, top_k)
    return [
        replace(answer, unknown=False, familiar=float(rate))
        if rate <= unknown  # accepted as an image of one of the tasks
        else LibraryPrediction(answer.name, row, None, True, float(rate), zero_shot=True)
        for answer, rate, row in zip(answers, found.false_accept_rates, text_scores, strict=True)
    ]


def _top_scores(
    labels: Sequence[str], probabilities: Array, top_k: int | None
) -> list[list[Score]]:
    """Of each row the most likely labels, in order; those of probability 0 are left out."""
    # stable: equal scores stay in the order of the classes
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
    return [
        [{"label": labels[c], "score": float(row[c])} for c in best if row[c] > 0]
        for row, best in zip(probabilities, order, strict=True)
    ]
