"""The numbers of an evaluation for each value of a column (`--by site`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful import metrics
from handful.data.text import suggestion
from handful.errors import InputError
from handful.skills.answers import Answers

EMPTY = "(empty)"  # what an empty cell is called


def by_column(answers: Answers, column: str, units: NDArray[np.int64]) -> dict[str, Any]:
    """Value of the column to the numbers of its images.

    Args:
        answers: of the test images.
        column: of the table that they came from.
        units: `[M]`, equal for images that belong together.

    Returns:
        For each value `count`, `units`, `accuracy` (all labels of an image right), `interval`,
        `interval_method`, `macro_f1` and `per_class` as in the whole.
    """
    values = np.array([value or EMPTY for value in answers.columns[column]], dtype=object)
    found = {}
    for value in sorted(set(values)):
        rows = np.flatnonzero(values == value)
        part = answers.subset(rows)
        rates = metrics.class_rates(part.given, part.shown, answers.classes, units[rows])
        found[value] = {
            "count": len(rows),
            "units": rates.units,
            "accuracy": rates.accuracy,
            "interval": None if rates.interval is None else [*rates.interval],
            "interval_method": rates.method,
            "macro_f1": rates.macro_f1,
            "per_class": metrics.per_class_json(rates.per_class),
        }
    return found


def check_columns(asked: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse a column that the data do not have, before any image is encoded.

    Raises:
        InputError: naming those that there are.
    """
    for column in asked:
        if column not in columns:
            there = f"it has: {', '.join([*columns][:20])}" if columns else "it has none"
            raise InputError(
                f"--by {column}: the test data have no column of this name beside photos and "
                f"labels; {suggestion(column, columns)}{there}"
            )
