"""`answers.csv`: a row a test image, with every score and the skill that answered."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from handful.skills.answer_table import SHORT
from handful.skills.answers import Answers
from handful.skills.evaluated import Evaluated

_DIGITS = 6


def answers_csv(done: Evaluated, by: Sequence[str] = ()) -> str:
    """The table as text; "" where the task has no answers of this kind.

    Columns: `file`, `group`, `truth`, `answer`, `right` (yes or no), `fold` of a
    cross-validation, `score:<class>` of each class, `by:<column>` of the columns asked for, and
    the same in every row, as in the files of `predict`: `skill`, `digest` and `handful`.

    Args:
        done: an evaluation.
        by: columns of the table that the photos came from.
    """
    answers = done.answers
    if answers is None:
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    skill = done.facts.get("skill", {})
    source = [skill.get("name", ""), skill.get("digest", "")[:SHORT], done.facts.get("handful", "")]
    writer.writerow(_header(answers, by))
    rows = zip(answers.labels, answers.answer_labels, answers.right.tolist(), strict=True)
    for i, (truth, answer, right) in enumerate(rows):
        fold = [answers.folds[i]] if answers.folds else []
        scores = [f"{score:.{_DIGITS}f}" for score in answers.probabilities[i]]
        cells = [answers.columns[name][i] for name in by]
        names = [answers.names[i], answers.groups[i], truth, answer, "yes" if right else "no"]
        writer.writerow([*names, *fold, *scores, *cells, *source])
    return text.getvalue()


def _header(answers: Answers, by: Sequence[str]) -> list[str]:
    return [
        *("file", "group", "truth", "answer", "right"),
        *(["fold"] if answers.folds else []),
        *(f"score:{name}" for name in answers.classes),
        *(f"by:{name}" for name in by),
        *("skill", "digest", "handful"),
    ]
