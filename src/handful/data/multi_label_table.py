"""Images with several labels or none, from a table."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful.contracts import ImageRef, at_home
from handful.data._files import file_in_errors
from handful.data._image_table import (
    GROUP,
    PATH,
    SPLIT,
    ImageTable,
    cell_text,
    find_column,
)
from handful.data._label_lists import comma_joined, label_list, looks_like_list
from handful.data._rows import READERS, metadata_file, read
from handful.data.dataset import SEPARATORS, MultiLabelDataset
from handful.data.table import LABEL, LISTED_AGAIN
from handful.errors import HandfulError, InputError

LABELS = ("labels", "label", "classes", "class", "category", "categories", "tags")
_PLURALS = {"labels", "classes", "categories", "tags"}
_YES, _NO = ("1", "1.0", "true"), ("0", "0.0", "false")
_EXPECTED = (
    "expected a table with the columns path and labels (several separated by | or ;, or one row a "
    "label), or path and one column of 0 and 1 a class"
)


def multi_label_table(path: str | Path | ImageTable) -> MultiLabelDataset:
    """Images with several labels or none, from a table: CSV, JSON lines or Parquet.

    Two forms, by the columns. With a column `labels` (or `label`, `class`, ...), a cell holds
    names separated by `|` or by `;`, one of the two in a whole table, or in JSON lines and Parquet
    a list of names; rows of the same path are one image with the labels of all of them; an empty
    cell is an image that shows none. Text that is a list of JSON or Python (`['a', 'b']`, as pandas
    writes it) is that list. Without such a column, every column but path, split and group is a
    class, with 1 or 0 in every cell.

    Raises:
        InputError: two columns of one name, missing columns, missing files, both separators, commas
            between labels, labels such as `nan`, an empty name between two separators, a cell that
            is not 0 or 1, an image in two splits, an image without labels that has some in another
            row; everything that is wrong at once, with its lines.
        MissingExtraError: a Parquet file, without the library that reads them.
    """
    if isinstance(path, ImageTable):
        found = path
    else:
        found = ImageTable.of_file(_table_file(at_home(path)), _accepts)
    if not find_column(found.columns, PATH):
        raise InputError(f"{found.source}: has no column for the path; {_EXPECTED}")
    label_column = find_column(found.columns, LABELS)
    others = [find_column(found.columns, names) for names in (PATH, SPLIT, GROUP)]
    classes = () if label_column else tuple(c for c in found.columns if c not in others)
    if not (label_column or classes):
        raise InputError(f"{found.source}: has no column of labels; {_EXPECTED}")
    shown = _shown(found, label_column, classes)
    images, repeated = _merged(found, shown, once=not label_column)
    found.check_splits((i.place for i in images), [i.split for i in images])
    found.report()
    used = [label_column] if label_column else classes
    with file_in_errors(found.source):
        return MultiLabelDataset(
            images=tuple(i.image for i in images),
            labels=tuple(tuple(sorted(i.labels)) for i in images),
            splits=tuple(i.split for i in images),
            groups=tuple(i.group for i in images),
            classes=classes or found.classes(label for i in images for label in i.labels),
            ignored={LISTED_AGAIN: repeated} if repeated else {},
            unreadable=found.unreadable,
            columns=found.other_columns(used, [(i.place, i.row) for i in images]),
        )


def is_multi_label_table(path: str | Path | ImageTable) -> bool:
    """Whether a path is a table of label sets and not of one label an image, by its columns.

    That is: a column whose name is a plural such as `labels` or `tags` and none for a single label.
    False too where it cannot be read: reading it then raises the reason.
    """
    if isinstance(path, ImageTable):
        columns = [*path.columns]
    elif Path(path).suffix.lower() not in READERS or not at_home(path).is_file():
        return False
    else:
        try:
            columns, _ = read(at_home(path), _accepts)
        except HandfulError:
            return False
    there = {c.strip().casefold() for c in columns}
    single = find_column(columns, LABEL)
    return bool(find_column(columns, PATH) and there & _PLURALS and not single)


@dataclass
class _ImageRows:
    """One image, with the labels of all of its rows, and the place of the first."""

    place: str
    row: dict[str, Any]
    image: ImageRef
    labels: set[str]
    split: str
    group: str


def _merged(
    found: ImageTable, shown: Sequence[set[str]], *, once: bool
) -> tuple[list[_ImageRows], int]:
    """The images with what all of their rows say, and how many rows only repeat another."""
    rows: dict[str, _ImageRows] = {}
    repeated = 0
    for (place, row), labels in zip(found.rows, shown, strict=True):
        image = found.image(place, row)
        if image is None:
            continue
        key = os.path.abspath(image.path) if image.path else place  # noqa: PTH100
        given = _ImageRows(place, row, image, set(labels), *found.split_and_group(row))
        first = rows.setdefault(key, given)
        if first is not given:
            repeated += _merge(found, first, given, once=once)
    return [*rows.values()], repeated


def _merge(found: ImageTable, first: _ImageRows, again: _ImageRows, *, once: bool) -> bool:
    """Add a further row of an image to its first; returns whether it says the same again.

    Args:
        found: where problems are noted.
        first: its rows so far.
        again: a further one.
        once: whether all its labels stand in one row.
    """
    both = f"{again.image.name} ({first.place} and {again.place})"
    said = (again.labels <= first.labels) if not once else again.labels == first.labels
    same = said and bool(again.labels) == bool(first.labels)
    if once and not same:
        found.problem("images listed with other labels in another row", both)
    elif bool(again.labels) != bool(first.labels):
        found.problem("images with labels in one row and none in another", both)
    if (again.split, again.group) != (first.split, first.group):
        found.problem("images in two splits or groups", both)
    first.labels |= again.labels
    return same


def _table_file(source: Path) -> Path:
    """The table itself, where its folder is given."""
    if source.is_dir():
        inside = metadata_file(source)
        if inside is None:
            raise InputError(f"{source}: is a folder, where an image has one label; {_EXPECTED}")
        return inside
    if not source.exists():
        raise InputError(f"{source}: does not exist; {_EXPECTED}")
    return source


def _accepts(columns: Iterable[str]) -> bool:
    columns = list(columns)
    others = [c for c in columns if c.strip().casefold() not in PATH]
    return bool(find_column(columns, PATH) and others)


def _separator(found: ImageTable, column: str) -> str:
    """The separator that the cells of a column use; "" for none.

    Raises:
        InputError: both separators, or commas that seem to stand between labels.
    """
    cells = [row.get(column) for _, row in found.rows]
    texts = [cell for cell in cells if isinstance(cell, str) and label_list(cell) is None]
    seen = {s for text in texts for s in SEPARATORS if s in text}
    joined = [] if seen else comma_joined(map(cell_text, texts))
    if joined:
        raise InputError(
            f"{found.source}: labels such as {joined[0]!r} seem to be several, with commas between "
            "them; put | or ; between the labels of an image (a|b), or write every cell as a list "
            '(["a", "b"]), also where a comma belongs to a name'
        )
    if len(seen) > 1:
        raise InputError(
            f"{found.source}: both | and ; stand in the labels, so it is not clear where one ends; "
            "use one of them between labels and neither in a class name"
        )
    return seen.pop() if seen else ""


def _split_names(found: ImageTable, place: str, cell: Any, separator: str) -> set[str]:
    """The labels in a cell, as a list or as text with separators."""
    parts = label_list(cell)
    if parts is None:
        if looks_like_list(cell):
            found.problem("cells that are no list of names in quotes", f"{cell!r} ({place})")
        text = cell_text(cell)
        parts = [part.strip() for part in (text.split(separator) if separator else [text])]
        if parts == [""]:
            return set()
    if not all(parts):
        found.problem("empty names between separators", place)
    return {part for part in parts if part}


def _shown(found: ImageTable, label_column: str, classes: Sequence[str]) -> list[set[str]]:
    """The labels of each row, each in one spelling; notes what is wrong with them."""
    if not label_column:
        return [_marked_classes(found, place, row, classes) for place, row in found.rows]
    separator = _separator(found, label_column)
    names = [_split_names(found, p, row.get(label_column), separator) for p, row in found.rows]
    pairs = zip(found.rows, names, strict=True)
    flat = [(place, name) for (place, _), each in pairs for name in sorted(each)]
    spelled = iter(found.one_spelling([p for p, _ in flat], [name for _, name in flat]))
    return [{next(spelled) for _ in each} for each in names]


def _marked_classes(
    found: ImageTable, place: str, row: dict[str, Any], classes: Sequence[str]
) -> set[str]:
    """The classes whose column has a 1 in this row."""
    shown = set()
    for name in classes:
        cell = cell_text(row.get(name))
        if cell.casefold() in _YES:
            shown.add(name)
        elif cell.casefold() not in _NO:
            found.problem("cells that are not 0 or 1", f"{name} = {cell!r} ({place})")
    return shown
