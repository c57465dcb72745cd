"""`file_name,classification,score`: a row an answer."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import ClassVar

from handful.skills.outputs._base import Output, answer_rows
from handful.skills.predict import Prediction

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
        sets = any(p.among is not None for p in predictions)
        tasks = any("task" in p.facts for p in predictions)
        more = ["may be"] * sets + ["task"] * tasks
        writer.writerow(["file_name", "classification", "score", *more])
        for p in predictions:
            among = ["\n".join(p.among or ())] if sets else []
            task = [p.facts.get("task") or ""] if tasks else []
            writer.writerows([p.name, *row, *among, *task] for row in answer_rows(p, _DIGITS))
        return text.getvalue()
