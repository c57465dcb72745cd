"""`answers.csv`: a row a test image, with every score and the skill that answered."""

from __future__ import annotations

from collections.abc import Sequence

from handful.skills.answer_table import SHORT
from handful.skills.answers import Answers
from handful.skills.evaluated import Evaluated
from handful.skills.outputs.csv import Csv

_DIGITS = 9  # significant ones, which tell any two float32 apart, so that areas can be recomputed


def answers_csv(
    done: Evaluated, by: Sequence[str] = (), *, excel: bool = False, separator: str = ","
) -> str:
    """The table as text; "" where the task has no answers of this kind.

    Columns: `file`, `group`, `truth`, `answer`, `right` (yes or no), `fold` of a
    cross-validation, `score:<class>` of each class, `at:<operating point>` (yes where the class is
    answered at that threshold), `by:<column>` of the columns asked for, and the same in every row,
    as in the files of `predict`: `skill`, `digest` and `handful`.

    Args:
        done: an evaluation.
        by: columns of the table that the photos came from.
        excel: for spreadsheets; see `handful.skills.outputs.csv.Csv`.
        separator: between cells.
    """
    answers = done.answers
    if answers is None:
        return ""
    table = Csv(excel=excel, separator=separator)
    skill = done.facts.get("skill", {})
    source = [skill.get("name", ""), skill.get("digest", "")[:SHORT], done.facts.get("handful", "")]
    points = {
        f"at:{p.asked}": (answers.probabilities[:, answers.classes.index(p.asked.of)], p.threshold)
        for p in done.operating_points
    }
    lines = [table.mark, table.line(_header(answers, [*points], by))]
    rows = zip(answers.labels, answers.answer_labels, answers.right.tolist(), strict=True)
    for i, (truth, answer, right) in enumerate(rows):
        fold = [answers.folds[i]] if answers.folds else []
        scores = [f"{score:.{_DIGITS}g}" for score in answers.probabilities[i]]
        reached = [bool(scores_of[i] >= least) for scores_of, least in points.values()]
        cells = [answers.columns[name][i] for name in by]
        names = [answers.names[i], answers.groups[i], truth, answer, right]
        lines.append(table.line([*names, *fold, *scores, *reached, *cells, *source]))
    return "".join(lines)


def _header(answers: Answers, points: Sequence[str], by: Sequence[str]) -> list[str]:
    return [
        *("file", "group", "truth", "answer", "right"),
        *(["fold"] if answers.folds else []),
        *(f"score:{name}" for name in answers.classes),
        *points,
        *(f"by:{name}" for name in by),
        *("skill", "digest", "handful"),
    ]
