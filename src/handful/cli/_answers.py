"""Answers on the screen: a table with the names of the files of answers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from handful.cli import _console

if TYPE_CHECKING:
    from handful.skills.answer_table import Schema
    from handful.skills.prediction import Prediction

NONE = "none of the classes"  # in place of a label, of a skill of several labels


def show(answers: Sequence[Prediction], schema: Schema) -> None:
    """A row an answer; what is said of the photo as a whole stands in its first row.

    Why a photo has no answer is said beside the table. Names of files are shortened on a terminal
    where it would break them over lines.
    """
    headers = ["file", "label", "score"]
    headers += ["unknown", "familiar"] if schema.unknown is not None else []
    headers += ["may_be"] if schema.error is not None else []
    headers += ["skill"] if schema.library else []
    rows = []
    for answer in answers:
        whole = _whole(answer, schema)
        for i, (label, score) in enumerate(_labels(answer)):
            rows.append([answer.name if i == 0 else "", label, score])
            rows[-1] += whole if i == 0 else [""] * len(whole)
    room = _room_for_first(headers, rows)
    if room is not None:
        rows = [[shortened(row[0], room), *row[1:]] for row in rows]
    _console.echo_table(headers, rows, right=[2])


def _room_for_first(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int | None:
    """Columns that a terminal leaves to the first column of `echo_table`, at least 16.

    None in a pipe or a file, where a line is as long as it has to be.
    """
    if not sys.stdout.isatty():
        return None
    from rich.cells import cell_len

    others = [max(map(cell_len, column)) for column in list(zip(headers, *rows, strict=True))[1:]]
    return max(16, shutil.get_terminal_size().columns - sum(others) - 3 * len(others))


def shortened(name: str, room: int) -> str:
    """A name with its middle left out where it is longer than there is room; its end tells most.

    >>> shortened("/media/card/DCIM/100CANON/IMG_0001.JPG", 24)
    '/media/...N/IMG_0001.JPG'
    """
    from rich.cells import cell_len, set_cell_size

    if cell_len(name) <= room:
        return name
    before = (room - 3) // 3
    end = name[-(room - 3 - before) :]
    while cell_len(end) > room - 3 - before:
        end = end[1:]
    return f"{set_cell_size(name, before)}...{end}"


def _labels(answer: Prediction) -> list[tuple[str, str]]:
    found = [(s["label"], f"{s['score']:.3f}") for s in answer.scores]
    return found or [("" if answer.error else NONE, "")]


def _whole(answer: Prediction, schema: Schema) -> list[str]:
    """What is said of a photo as a whole, without its name."""
    cells: list[str] = []
    if schema.unknown is not None:
        cells += [_unknown(answer, schema.unknown), _number(answer.familiar)]
    if schema.error is not None:
        cells.append(", ".join(answer.may_be or ()))
    if schema.library:
        cells.append(answer.facts["skill"] or "")
    return cells


def _unknown(answer: Prediction, rate: float) -> str:
    """Yes or no; at the edge perhaps, the same on both sides of the rate."""
    if answer.is_near(rate):
        return "perhaps"
    return "" if answer.unknown is None else "yes" if answer.unknown else "no"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
