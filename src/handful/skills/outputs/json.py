"""A JSON list, an object a photo, with answers as Hugging Face's image-classification pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import ClassVar

from handful.skills.answer_table import Row, Schema
from handful.skills.outputs._base import TextOutput


class Json(TextOutput):
    """`{file, predictions: [{label, score}], ..., error}`; the keys are the columns of the csv."""

    suffixes: ClassVar[tuple[str, ...]] = (".json",)

    def chunks(
        self, rows: Iterable[Row], schema: Schema, *, ascii_only: bool = False
    ) -> Iterator[str]:
        """The list, an object at a time."""
        before = "[\n"
        for row in rows:
            text = json.dumps(row, indent=1, ensure_ascii=ascii_only)
            yield before + " " + text.replace("\n", "\n ")
            before = ",\n"
        yield "[]\n" if before == "[\n" else "\n]\n"
