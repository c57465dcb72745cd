"""Parquet: the columns of the csv output with their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO, Any, ClassVar

from handful.errors import MissingExtraError
from handful.skills.answer_table import Row, Schema
from handful.skills.outputs._base import Output

_GROUP = 65_536  # rows held together


class Parquet(Output):
    """Texts, numbers, true and false; null where there is nothing."""

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def check(self) -> None:
        """See `Output`."""
        try:
            import pyarrow  # noqa: F401  # whether it is there
        except ImportError as error:
            raise MissingExtraError("pyarrow", "parquet", "writing Parquet") from error

    def write(self, rows: Iterable[Row], schema: Schema, file: IO[bytes]) -> None:
        """A group of rows at a time."""
        import pyarrow as pa
        from pyarrow import parquet

        types = {bool: pa.bool_(), float: pa.float64(), str: pa.string()}
        fields = pa.schema([(name, types[schema.type_of(name)]) for name in schema.columns])
        with parquet.ParquetWriter(file, fields) as writer:
            for group in _groups(schema.cells(row) for row in rows):
                columns = zip(*group, strict=True)
                arrays = [pa.array(c, f.type) for c, f in zip(columns, fields, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=fields))


def _groups(rows: Iterator[list[Any]]) -> Iterator[list[list[Any]]]:
    while group := list(islice(rows, _GROUP)):
        yield group
