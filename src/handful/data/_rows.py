"""Reads table files, CSV, JSON lines or Parquet, into column names and rows."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from handful.data._files import lines_of, parse_json, read_text
from handful.data.text import clean_name
from handful.errors import InputError, MissingExtraError

Row = tuple[str, dict[str, Any]]  # where it stands ("line 3"), and its cells by column
Accepts = Callable[[Iterable[str]], bool]
READERS: dict[str, Callable[[Path, Accepts], tuple[list[str], list[Row]]]]
# The first line by which Excel is told what stands between columns: sep=;
_SEPARATOR_LINE = re.compile(
    r'"?sep=(?P<separator>\\t|[^\r\n"])"?[,;\t]*(?:\r\n|\r|\n)', re.IGNORECASE
)


def read(path: Path, accepts: Accepts) -> tuple[list[str], list[Row]]:
    """Column names and rows of a table.

    Args:
        path: the file; its extension decides the format.
        accepts: whether some column names are those of a table of images; decides which of comma,
            semicolon and tab stands between the columns.

    Raises:
        InputError: not a table, or one that cannot be parsed; names the line.
        MissingExtraError: a Parquet file, without the library that reads them.
    """
    if not path.is_file():
        raise InputError(f"{path}: is not a file; expected a table of images and labels")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"{path}: expected a table that ends in {', '.join(READERS)}, got {path.suffix!r}"
        )
    try:
        columns, rows = reader(path, accepts)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not rows:
        raise InputError(f"{path}: has no rows; expected one an image")
    return named_once(path, columns, rows)


def named_once(
    source: Path | str, columns: Sequence[str], rows: Sequence[Row]
) -> tuple[list[str], list[Row]]:
    """Columns and rows under names without what cannot be seen; columns without a name are left.

    Raises:
        InputError: two columns of one name, or of one that differs in upper and lower case alone.
    """
    clean = {column: clean_name(column) for column in columns}
    first: dict[str, str] = {}
    for name in (clean[column] for column in columns if clean[column]):
        other = first.setdefault(name.casefold(), name)
        if other != name or [clean[c] for c in columns].count(name) > 1:
            both = other if other == name else f"{other} and {name}"
            raise InputError(
                f"{source}: two columns are called {both}, so it is not clear which is meant; "
                "rename or take out one"
            )
    if all(clean[column] == column != "" for column in columns):
        return [*columns], [*rows]
    kept = [
        (place, {clean[c]: cell for c, cell in cells.items() if clean[c]}) for place, cells in rows
    ]
    return [*first.values()], kept


def metadata_file(folder: Path) -> Path | None:
    """The `metadata.csv`, `.jsonl` or other table by which Hugging Face labels a folder."""
    candidates = [folder / f"metadata{suffix}" for suffix in READERS]
    return next((c for c in candidates if c.is_file()), None)


def _csv(path: Path, accepts: Accepts) -> tuple[list[str], list[Row]]:
    content = read_text(path)
    delimiters = [*",;\t"]
    stated = _SEPARATOR_LINE.match(content)
    if stated:  # the lines keep their numbers
        delimiters, content = [stated["separator"].replace("\\t", "\t")], content[stated.end() :]
        content = "\n" + content
    candidates = [_header(content, d) for d in delimiters]
    fits = [c for c in candidates if accepts(c)] or candidates
    best = max(fits, key=len)
    delimiter = delimiters[candidates.index(best)]
    named_once(path, best, [])  # before a dict of cells would lose one of two columns
    reader = csv.reader(StringIO(content, newline=""), delimiter=delimiter)
    rows: list[Row] = []
    try:
        for number, cells in enumerate(c for c in reader if any(x.strip() for x in c)):
            if number == 0:
                continue
            if len(cells) > len(best):
                raise InputError(
                    f"{path}: line {reader.line_num} has {len(cells)} cells for {len(best)} "
                    "columns; put quotes around text that contains the separator"
                )
            rows.append((f"line {reader.line_num}", dict(zip(best, cells, strict=False))))
    except csv.Error as error:
        _refuse_open_quote(path, content, delimiter)  # csv says that a cell is too large
        raise InputError(f"{path}: line {reader.line_num} is not CSV ({error})") from error
    if _spans_lines(rows):
        _refuse_open_quote(path, content, delimiter)
    return best, rows


def _spans_lines(rows: list[Row]) -> bool:
    return any("\n" in (cell or "") or "\r" in (cell or "") for _, r in rows for cell in r.values())


def _refuse_open_quote(path: Path, content: str, delimiter: str) -> None:
    """Refuse a quote that ends nowhere, or amid text.

    csv reads such a file without complaint, the rest of it as one cell.

    Raises:
        InputError: there is one; names the line on which it is opened.
    """
    reader = csv.reader(StringIO(content, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for _ in reader:
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f'{path}: line {line}: a quote (") is opened here and not closed, so the lines after '
            "it were read as part of this cell; close it or take it out"
        ) from error


def _header(content: str, delimiter: str) -> list[str]:
    try:
        reader = csv.reader(StringIO(content, newline=""), delimiter=delimiter)
        cells = next((c for c in reader if any(x.strip() for x in c)), [])
    except csv.Error:
        return []
    return [clean_name(c) for c in cells]


def _jsonl(path: Path, _: Accepts) -> tuple[list[str], list[Row]]:
    rows: list[Row] = []
    for number, line in enumerate(lines_of(read_text(path)), start=1):
        if not line.strip():
            continue
        cells = parse_json(path, line, f"line {number} ", _object)
        if isinstance(cells, _RepeatedKey):
            raise InputError(
                f"{path}: line {number} has a column twice, so it is not clear which is meant; "
                f"take out one: {line.strip():.80}"
            )
        if not isinstance(cells, dict):
            raise InputError(f"{path}: line {number}: expected an object, got {line[:40]}")
        rows.append((f"line {number}", cells))
    return list(dict.fromkeys(c for _, cells in rows for c in cells)), rows


class _RepeatedKey(dict[str, Any]):
    """An object of JSON in which a key stands twice, of which Python keeps the last."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _RepeatedKey(found)


def _parquet(path: Path, _: Accepts) -> tuple[list[str], list[Row]]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet", "reading a Parquet table") from error
    try:
        table = parquet.read_table(path)
        rows = [(f"row {i}", cells) for i, cells in enumerate(table.to_pylist(), start=1)]
    except arrow.ArrowException as error:
        raise InputError(f"{path}: is not a sound Parquet file ({error})") from error
    _name_classes(rows, table.schema.metadata or {})
    return list(table.column_names), rows


def _name_classes(rows: list[Row], metadata: dict[bytes, bytes]) -> None:
    """Hugging Face keeps labels as numbers and their names in the file's metadata."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return
    for column, feature in features.items():
        names = feature.get("names") if isinstance(feature, dict) else None
        if isinstance(names, list):
            for _, cells in rows:
                number = cells.get(column)
                if isinstance(number, int) and 0 <= number < len(names):
                    cells[column] = names[number]


READERS = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}
