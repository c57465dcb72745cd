"""`file_name,classification,score`: a row an answer."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import ClassVar

from handful.skills.outputs._base import Output
from handful.skills.prediction import Prediction, answer_table

_DIGITS = 6


class Csv(Output):
    """Comma-separated values; images that could not be read have no row.

    An image of no class has the one row `unknown`. Where it was asked for, `may be` holds the
    classes that the image may be of, each in a line of its own; of a library, `task` the skill.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".csv",)

    def write(self, predictions: Sequence[Prediction], *, ascii_only: bool = False) -> str:
        """The table; letters stay as they are."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns, rows = answer_table(predictions)
        writer.writerow(columns)
        for name, label, score, *more in rows:
            writer.writerow([name, label, "" if score is None else f"{score:.{_DIGITS}f}", *more])
        return text.getvalue()
