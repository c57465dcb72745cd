"""What a format of answers is.

Rows come one after another and are written so too: no format holds a table in memory. They are of
the object form of `handful.skills.answer_table`, and the schema makes flat cells of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import IO, Any, ClassVar

from handful.skills.answer_table import Row, Schema


class Output(ABC):
    """Rows of answers to a file; its name is the file's name.

    Class attributes:
        suffixes: endings of file names that mean this format, with the dot.
    """

    plugin: ClassVar[bool] = True
    suffixes: ClassVar[tuple[str, ...]]

    def check(self) -> None:  # noqa: B027  # most need nothing
        """Refuse before the work what cannot be written here.

        Raises:
            MissingExtraError: a library that is not installed.
        """

    @abstractmethod
    def write(self, rows: Iterable[Row], schema: Schema, file: IO[bytes]) -> None:
        """The whole file.

        Args:
            rows: in the order of the images.
            schema: their columns.
            file: open for writing; it need not be seekable.
        """


class TextOutput(Output):
    """A format that is text, which a screen can show."""

    @abstractmethod
    def chunks(
        self, rows: Iterable[Row], schema: Schema, *, ascii_only: bool = False
    ) -> Iterator[str]:
        """Pieces of the text, each as soon as its rows are there.

        Args:
            rows: in the order of the images.
            schema: their columns.
            ascii_only: where the text goes, other letters cannot be written.
        """

    def write(self, rows: Iterable[Row], schema: Schema, file: IO[bytes]) -> None:
        """The text as UTF-8; half a surrogate pair, which is no text, as its escape."""
        for chunk in self.chunks(rows, schema):
            file.write(encode(chunk))


class LineOutput(TextOutput):
    """A text format to which rows can be added: a head, then one record a row.

    A run that writes it can be stopped at any moment and go on later.
    """

    def head(self, schema: Schema) -> str:
        """What stands before the first row; "" for nothing."""
        return ""

    def beginning(self, schema: Schema) -> bytes:
        """How every such file begins, by which one that holds no whole record yet is known."""
        return encode(self.head(schema))

    @abstractmethod
    def record(self, row: Row, schema: Schema, *, ascii_only: bool = False) -> str:
        """One row, with the line feed that ends it."""

    @abstractmethod
    def records(self, file: IO[bytes], schema: Schema) -> Iterator[tuple[int, dict[str, Any]]]:
        """What such a file holds: where each record ends, and its row, which is empty for the head.

        A last record that is cut short is left out. Rows hold `file`, `predictions` with their
        labels, `unknown`, `error`, and `skill`, `digest` and `options` as they were written.

        Raises:
            InputError: a file with other columns, or of another form.
        """

    def spelled(self, name: str) -> str:
        """How the name of a file reads where this format was read back."""
        return encode(name).decode()

    def chunks(
        self, rows: Iterable[Row], schema: Schema, *, ascii_only: bool = False
    ) -> Iterator[str]:
        """The head, then a record a row."""
        yield self.head(schema)
        for row in rows:
            yield self.record(row, schema, ascii_only=ascii_only)


def encode(text: str) -> bytes:
    """As UTF-8; what UTF-8 cannot spell (half a surrogate pair in a name) as its escape."""
    return text.encode("utf-8", "backslashreplace")
