"""Answers on the screen: a table with the names of the files of answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from handful.cli import _console

if TYPE_CHECKING:
    from handful.skills.answer_table import Schema
    from handful.skills.prediction import Prediction

NONE = "none of the classes"  # in place of a label, of a skill of several labels


def show(answers: Sequence[Prediction], schema: Schema) -> None:
    """A row an answer; what is said of the photo as a whole stands in its first row."""
    failed = any(p.error for p in answers)
    headers = ["file", "label", "score"]
    headers += ["unknown", "familiar"] if schema.unknown is not None else []
    headers += ["may_be"] if schema.error is not None else []
    headers += ["skill"] if schema.library else []
    headers += ["error"] if failed else []
    rows = []
    for answer in answers:
        whole = _whole(answer, schema, failed=failed)
        for i, (label, score) in enumerate(_labels(answer)):
            rows.append([answer.name if i == 0 else "", label, score])
            rows[-1] += whole if i == 0 else [""] * len(whole)
    _console.echo_table(headers, rows, right=[2])


def _labels(answer: Prediction) -> list[tuple[str, str]]:
    found = [(s["label"], f"{s['score']:.3f}") for s in answer.scores]
    return found or [("" if answer.error else NONE, "")]


def _whole(answer: Prediction, schema: Schema, *, failed: bool) -> list[str]:
    """What is said of a photo as a whole, without its name."""
    cells: list[str] = []
    if schema.unknown is not None:
        cells += [_unknown(answer, schema.unknown), _number(answer.familiar)]
    if schema.error is not None:
        cells.append(", ".join(answer.may_be or ()))
    if schema.library:
        cells.append(answer.facts["skill"] or "")
    return [*cells, answer.error or ""] if failed else cells


def _unknown(answer: Prediction, rate: float) -> str:
    """Yes or no; at the edge perhaps, the same on both sides of the rate."""
    if answer.is_near(rate):
        return "perhaps"
    return "" if answer.unknown is None else "yes" if answer.unknown else "no"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
