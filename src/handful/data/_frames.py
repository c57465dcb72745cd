"""Data frames to rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handful.data._image_table import PATH, find_column
from handful.data._label_names import to_names
from handful.data._rows import Row, named_once
from handful.data.memory_table import MemoryTable
from handful.data.multi_label_table import LABELS
from handful.data.table import LABEL
from handful.errors import InputError

WHERE = "the data frame"


def frame_table(frame: Any, classes: Sequence[str] | None, root: Path) -> MemoryTable:
    """The rows of a `pandas.DataFrame` with images and labels.

    Raises:
        InputError: no rows, a column twice, no column of images or labels; labels that are not
            understood.
    """
    given = [str(name) for name in frame.columns]
    columns, rows = named_once(WHERE, given, _rows(frame))
    label = find_column(columns, LABEL) or find_column(columns, LABELS)
    # without a column of labels, each class may have a column of its own; the task knows
    if label:
        cells = [row[label] for _, row in rows]
        names = to_names(cells, [place for place, _ in rows], classes, f"{WHERE}, column {label!r}")
        rows = [
            (place, row | {label: name}) for (place, row), name in zip(rows, names, strict=True)
        ]
    return MemoryTable(WHERE, root, columns, rows, classes or ())


def frame_images(frame: Any) -> MemoryTable:
    """The same for images alone; labels may stand beside them.

    Raises:
        InputError: no column of images.
    """
    columns = [str(name) for name in frame.columns]
    if not find_column(columns, PATH):
        raise InputError(
            f"{WHERE}: has no column of images; expected one named {', '.join(PATH[:-1])} or "
            f"{PATH[-1]}, got {', '.join(columns) or 'none'}"
        )
    columns, rows = named_once(WHERE, columns, _rows(frame) if len(frame) else [])
    return MemoryTable(WHERE, Path(), columns, rows)


def _rows(frame: Any) -> list[Row]:
    """Places and cells; gaps are None."""
    columns = [str(name) for name in frame.columns]
    named_once(WHERE, columns, [])  # before a dict of cells would lose one of two columns
    if not len(frame):
        raise InputError(f"{WHERE}: has no rows; expected one an image")
    # an index that repeats, as concatenation leaves it, does not name a row
    named = frame.index.is_unique
    places = [f"row {key}" if named else f"row at {i}" for i, key in enumerate(frame.index)]
    cells = [column.astype(object).where(column.notna(), None) for _, column in frame.items()]
    return [
        (place, dict(zip(columns, row, strict=True)))
        for place, row in zip(places, zip(*cells, strict=True), strict=True)
    ]
