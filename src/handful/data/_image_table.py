"""What tables about images share: columns for path, split and group, and a list of all problems."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handful.contracts import ImageRef
from handful.data._files import FileFinder, is_file
from handful.data._rows import Row, read
from handful.data.dataset import SPLITS
from handful.data.text import case_twins, clean_name, is_missing_text, without_float_twins
from handful.errors import InputError

# Names of a column; the first that a table has is taken, upper and lower case are one.
PATH = ("path", "file_name", "filename", "image", "image_path", "filepath", "file", "photo")
SPLIT = ("split",)
GROUP = ("group",)
_SHOWN = 5


class ImageTable:
    """Rows of a table; everything wrong with them is gathered and reported together.

    Args:
        source: what errors call it: the file.
        root: where relative paths start.
        columns: names of the columns.
        rows: place ("line 3") and cells by column, one an image or more.
        classes: class names in their order, where the table states one.
        unreadable: name and reason of images whose labels could not be had either.
    """

    def __init__(
        self,
        source: Path | str,
        root: Path,
        columns: Sequence[str],
        rows: Sequence[Row],
        classes: Sequence[str] = (),
        unreadable: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.source, self.root, self.columns, self.rows = source, root, columns, rows
        self._classes, self.unreadable = tuple(classes), tuple(unreadable)
        self._path, self._split, self._group = (
            find_column(self.columns, names) for names in (PATH, SPLIT, GROUP)
        )
        self._finder = FileFinder(root)
        self._problems: dict[str, list[str]] = {}

    @classmethod
    def of_file(cls, source: Path, accepts: Callable[[Iterable[str]], bool]) -> ImageTable:
        """Read a file.

        Args:
            source: the file; relative paths start at its folder.
            accepts: whether some column names are those of such a table, see `_rows.read`.

        Raises:
            InputError: not a table, or one that cannot be parsed.
            MissingExtraError: a Parquet file, without the library that reads them.
        """
        return cls(source, source.parent, *read(source, accepts))

    def classes(self, present: Iterable[str]) -> tuple[str, ...]:
        """Those of the classes that are present, in the table's order; none where it has none."""
        there = set(present)
        return tuple(name for name in self._classes if name in there)

    def image(self, place: str, row: dict[str, Any]) -> ImageRef | None:
        """The image of a row; None, and a problem, where there is no such file."""
        cell = row.get(self._path)
        if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes):  # Hugging Face's image
            name = f"{Path(self.source).name}, {place} {cell.get('path') or ''}".strip()
            return ImageRef.of(cell["bytes"], name)
        if isinstance(cell, dict):
            cell = cell.get("path")
        name = "" if cell is None else str(cell).strip()
        if not name:
            self.problem("empty paths", place)
            return None
        path = self.find(name)
        if not is_file(path):
            exists = os.path.exists(path)  # noqa: PTH110  # Path.exists raises on a name too long
            kind = "things that are no files" if exists else "missing files"
            self.problem(kind, f"{name} ({place})")
            return None
        return ImageRef.of(path)

    def find(self, name: str) -> Path:
        """The file of a path in the table; see `FileFinder.find`."""
        return self._finder.find(name)

    def split_and_group(self, row: dict[str, Any]) -> tuple[str, str]:
        """The split, under the name it is stored by, and the group of a row; "" for none."""
        split, group = (cell_text(row.get(c)) if c else "" for c in (self._split, self._group))
        return SPLITS.get(split.casefold(), split), group

    def check_splits(self, places: Iterable[str], splits: Sequence[str]) -> None:
        """Note unknown splits, and rows without one where others state theirs."""
        known = {"", *SPLITS.values()}
        rows = list(zip(places, splits, strict=True))
        for place, split in rows:
            if not split and any(splits):
                self.problem("empty splits, where other rows state one", place)
        for place, split in rows:
            if split not in known:
                self.problem("unknown splits, expected train, val or test", f"{split!r} ({place})")

    def other_columns(
        self, label_columns: Iterable[str], rows: Sequence[Row]
    ) -> dict[str, tuple[str, ...]]:
        """Columns that have no meaning of their own, with the texts of these rows.

        Args:
            label_columns: names of columns that hold labels.
            rows: those of the images, in their order.
        """
        used = {self._path, self._split, self._group, *label_columns}
        names = [name for name in self.columns if name not in used]
        cells = {name: [row.get(name) for _, row in rows] for name in names}
        return {
            name: tuple(map(_column_text, column))
            for name, column in cells.items()
            if not any(map(_holds_bytes, column))
        }

    def one_spelling(self, places: Sequence[str], labels: Sequence[str]) -> list[str]:
        """N labels, each in one spelling; notes those that are missing or differ by case alone."""
        for place, label in zip(places, labels, strict=True):
            if is_missing_text(label):
                self.problem("labels that say there is none", f"{label!r} ({place})")
        found = without_float_twins(labels)
        first = {label: place for place, label in reversed([*zip(places, found, strict=True)])}
        for one, other in case_twins(found):
            both = f"{one!r} ({first[one]}) and {other!r} ({first[other]})"
            self.problem("labels that differ in upper and lower case alone", both)
        return found

    def problem(self, kind: str, which: str) -> None:
        """Note something that is wrong; `report` raises it."""
        self._problems.setdefault(kind, []).append(which)

    def report(self) -> None:
        """Raise what was noted.

        Raises:
            InputError: anything was; all of it, with its lines.
        """
        found = self._problems
        if not found:
            return
        parts = [f"{kind} ({len(which)}): {_first(which)}" for kind, which in found.items()]
        hint = ""
        if "missing files" in found:
            hint = f"; relative paths start at {self.root}"
        if "images listed twice" in found or "lists of labels" in found:
            hint += "; where an image has several labels, use the task multi_label (--multi-label)"
        if "labels that say there is none" in found:
            hint += (
                "; take rows without a label out (a photo of none of the classes is labelled "
                "background)"
            )
        raise InputError(
            f"{self.source}: {len(self.rows)} rows, with {'; '.join(parts)}{hint}; correct them"
        )


def find_column(columns: Sequence[str], names: Iterable[str]) -> str:
    """A table's own name of a column, the first of `names` that it has; "" where it has none."""
    there = {c.strip().casefold(): c for c in reversed(columns)}
    return next((there[name] for name in names if name in there), "")


def is_missing(cell: Any) -> bool:
    """Whether a cell is a gap: None, NaN, or what data frames put there."""
    if isinstance(cell, float | np.floating):
        return bool(cell != cell)
    return cell is None or type(cell).__name__ in ("NAType", "NaTType")


def cell_text(cell: Any) -> str:
    """A cell as text without what cannot be seen; empty for a gap."""
    return "" if is_missing(cell) else clean_name(str(cell))


def _column_text(cell: Any) -> str:
    if isinstance(cell, list | tuple | dict):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return cell_text(cell)


def _holds_bytes(cell: Any) -> bool:
    """Whether it is a file, or Hugging Face's image with its bytes."""
    inside = cell.values() if isinstance(cell, dict) else [cell]
    return any(isinstance(each, bytes | bytearray) or hasattr(each, "convert") for each in inside)


def _first(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
