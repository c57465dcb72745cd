"""The mistakes of an evaluation that are worth a look: those that were surest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from handful.skills.answers import Answers


class Mistake(NamedTuple):
    """A test image that was answered wrongly: its name, both classes, the answer's probability."""

    name: str
    truth: str
    answer: str
    score: float


def surest_mistakes(answers: Answers, most: int) -> list[Mistake]:
    """The wrong answers of largest probability, the surest first; one of each group.

    Args:
        answers: of a skill with one class an image.
        most: how many.
    """
    predicted = answers.predicted
    rows = np.flatnonzero(~answers.right)
    scores = answers.probabilities[rows, predicted[rows]]
    found: list[Mistake] = []
    groups: set[str] = set()
    for row in rows[np.argsort(-scores, kind="stable")].tolist():
        group = answers.groups[row]
        if group in groups:
            continue
        groups |= {group} - {""}
        truth, answer = (answers.classes[c] for c in (answers.targets[row], predicted[row]))
        score = float(answers.probabilities[row, predicted[row]])
        found.append(Mistake(answers.names[row], truth, answer, score))
        if len(found) == most:
            break
    return found
