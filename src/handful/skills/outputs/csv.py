"""Comma-separated values: a row a photo, a column a fact."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import IO, Any, ClassVar

from handful.errors import InputError
from handful.skills.answer_table import SEPARATOR, Row, Schema
from handful.skills.outputs._base import LineOutput

_DIGITS = 6
_BOM = "\ufeff"
# OWASP, CSV Injection: a spreadsheet runs a cell that begins so; an apostrophe makes it a text
_FORMULA = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")  # the last four: wide = + - @


class Csv(LineOutput):
    """Yes and no for true and false, six digits after the point, nothing where there is nothing.

    Args:
        excel: for spreadsheets: a byte order mark, by which they take it for UTF-8, and texts that
            they would run as a formula with an apostrophe before them.
        separator: between cells; where the comma is the decimal mark, spreadsheets expect `;`.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv")

    def __init__(self, *, excel: bool = False, separator: str = ",") -> None:
        if len(separator) != 1 or separator in '"\r\n':
            raise InputError(
                f"expected one letter between cells, such as ; or a tab, got {separator!r}"
            )
        self.excel, self.separator = excel, separator

    def head(self, schema: Schema) -> str:
        """The names of the columns."""
        return self.mark + self._line(schema.columns)

    @property
    def mark(self) -> str:
        """The byte order mark for spreadsheets; "" without."""
        return _BOM * self.excel

    def record(self, row: Row, schema: Schema, *, ascii_only: bool = False) -> str:
        """The cells; letters stay as they are."""
        return self._line([self._cell(value) for value in schema.cells(row)])

    def line(self, cells: Iterable[Any]) -> str:
        """Cells of another table, spelled as those of answers are."""
        return self._line([self._cell(value) for value in cells])

    def records(self, file: IO[bytes], schema: Schema) -> Iterator[tuple[int, dict[str, Any]]]:
        """See `LineOutput`; a cell may hold line feeds, so that a record is several lines."""
        end, columns = 0, list(schema.columns)
        for number, raw in enumerate(_complete(file)):
            end += len(raw)
            cells = self._cells(raw, first=number == 0)
            if number == 0 and raw.startswith(_BOM.encode()) != self.excel:
                raise InputError("one of the two runs is for spreadsheets, the other is not")
            if number == 0 and cells != columns:
                raise InputError(
                    f"it has the columns {', '.join(cells)}, and these answers {', '.join(columns)}"
                )
            if len(cells) != len(columns):
                raise InputError(f"row {number + 1} has {len(cells)} cells, not {len(columns)}")
            yield end, _row(dict(zip(columns, cells, strict=True))) if number else {}

    def spelled(self, name: str) -> str:
        """With the apostrophe that spreadsheets need."""
        return self._guarded(super().spelled(name))

    def _line(self, cells: Any) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n", delimiter=self.separator).writerow(cells)
        return text.getvalue()

    def _cells(self, raw: bytes, *, first: bool) -> list[str]:
        try:
            text = raw.decode("utf-8-sig" if first else "utf-8")
        except UnicodeDecodeError as error:
            raise InputError("it is not UTF-8") from error
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=self.separator), [])

    def _cell(self, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, float):
            return f"{value:.{_DIGITS}f}"
        return self._guarded(str(value)) if isinstance(value, str) else str(value)

    def _guarded(self, text: str) -> str:
        return "'" + text if self.excel and text.startswith(_FORMULA) else text


def _complete(file: IO[bytes]) -> Iterator[bytes]:
    """Records that are whole: they end with a line feed outside of quotes."""
    held = b""
    for line in file:
        held += line
        if held.endswith(b"\n") and held.count(b'"') % 2 == 0:
            yield held
            held = b""


def _row(cells: dict[str, str]) -> dict[str, Any]:
    labels = cells["labels"].split(SEPARATOR) if "labels" in cells else [cells["label"]]
    may_be = {}
    if "may_be" in cells and not cells["error"]:
        may_be = {"may_be": [name for name in cells["may_be"].split(SEPARATOR) if name]}
    return {
        **may_be,
        **{name: cells[name] for name in ("file", "skill", "digest", "options")},
        "predictions": [{"label": label} for label in labels if label],
        "unknown": cells.get("unknown") == "yes",
        "error": cells["error"] or None,
    }
