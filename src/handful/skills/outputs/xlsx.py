"""A workbook for spreadsheets: the columns of the csv output on one sheet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, ClassVar

from handful.errors import InputError, MissingExtraError
from handful.skills.answer_table import Row, Schema
from handful.skills.outputs._base import Output

_MOST_ROWS = 1_048_576  # of a sheet, with the head
_LONGEST = 32_767  # letters of a cell
# XlsxWriter would make links of texts, and formulas of those that begin with `=`
_AS_TEXT = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}


class Xlsx(Output):
    """Texts stay texts: none is run as a formula. Yes and no for true and false."""

    suffixes: ClassVar[tuple[str, ...]] = (".xlsx",)

    def check(self) -> None:
        """See `Output`."""
        try:
            import xlsxwriter  # noqa: F401  # whether it is there
        except ImportError as error:
            raise MissingExtraError("xlsxwriter", "xlsx", "writing a workbook") from error

    def write(self, rows: Iterable[Row], schema: Schema, file: IO[bytes]) -> None:
        """A row at a time, in constant memory.

        Raises:
            InputError: more rows than a sheet has.
        """
        import xlsxwriter

        with xlsxwriter.Workbook(file, {"constant_memory": True, **_AS_TEXT}) as book:
            sheet = book.add_worksheet("answers")
            sheet.freeze_panes(1, 0)
            for column, name in enumerate(schema.columns):
                sheet.write_string(0, column, name)
            for number, row in enumerate(rows, 1):
                if number >= _MOST_ROWS:
                    raise InputError(
                        f"a sheet holds {_MOST_ROWS} rows, and there are more answers; write .csv "
                        "or .parquet"
                    )
                for column, value in enumerate(schema.cells(row)):
                    if isinstance(value, bool):
                        sheet.write_string(number, column, "yes" if value else "no")
                    elif isinstance(value, float):
                        sheet.write_number(number, column, value)
                    elif value is not None:
                        sheet.write_string(number, column, str(value)[:_LONGEST])
