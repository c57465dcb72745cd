"""JSON lines: an object a photo, one a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any, ClassVar

from handful.errors import InputError
from handful.skills.answer_table import Row, Schema
from handful.skills.outputs._base import LineOutput


class Jsonl(LineOutput):
    """The objects of the json output, each in a line of its own."""

    suffixes: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")

    def beginning(self, schema: Schema) -> bytes:
        """See `LineOutput`."""
        return b'{"file": "'

    def record(self, row: Row, schema: Schema, *, ascii_only: bool = False) -> str:
        """One object; a line feed in a name is escaped."""
        return json.dumps(row, ensure_ascii=ascii_only) + "\n"

    def records(self, file: IO[bytes], schema: Schema) -> Iterator[tuple[int, dict[str, Any]]]:
        """See `LineOutput`."""
        end = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict) or not {"file", "predictions"} <= row.keys():
                raise InputError(f"line {number} is no answer to a photo")
            yield end, row

    def spelled(self, name: str) -> str:
        """As it is: JSON reads its escapes back."""
        return name
