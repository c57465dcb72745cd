"""Images with several labels or none, from a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from handful.contracts import ImageRef
from handful.data._rows import READERS, read
from handful.data.dataset import SEPARATORS, SPLITS, MultiLabelDataset
from handful.data.table import COLUMNS, _column, _image, _Problems, _text
from handful.errors import InputError

LABELS = ("labels", "label", "classes", "class", "category", "categories", "tags")
_ABOUT = ("path", "split", "group")
_YES, _NO = ("1", "1.0", "true"), ("0", "0.0", "false")
_EXPECTED = (
    "expected a table with the columns path and labels (several separated by | or ;, or one row a "
    "label), or path and one column of 0 and 1 a class"
)


def multi_label_table(path: str | Path) -> MultiLabelDataset:
    """Images with several labels or none, from a table: CSV, JSON lines or Parquet.

    Two forms, told apart by the columns. With a column `labels` (or `label`, `class`, ...), a cell
    holds names separated by `|` or by `;`, one of the two in a whole table, or in JSON lines and
    Parquet a list of names; rows of the same path are one image with the labels of all of them; an
    empty cell is an image that shows none. Without it, every column but path, split and group is a
    class, with 1 or 0 in every cell.

    Raises:
        InputError: missing columns, missing files, both separators, an empty name between two
            separators, a cell that is not 0 or 1, an image in two splits, an image without labels
            that has some in another row; everything that is wrong at once, with its lines.
        MissingExtraError: a Parquet file, without the library that reads them.
    """
    source = _table(Path(path))
    columns, rows = read(source, _knows)
    where, named = _column(columns, "path"), _labels(columns)
    if not where:
        raise InputError(f"{source}: has no column for the path; {_EXPECTED}")
    about = [_column(columns, what) for what in _ABOUT]
    classes = () if named else tuple(c for c in columns if c not in about)
    if not (named or classes):
        raise InputError(f"{source}: has no column of labels; {_EXPECTED}")
    problems = _Problems(source)
    separator = _separator(source, (row.get(named) for _, row in rows)) if named else ""
    found = _Found(problems)
    for place, row in rows:
        if named:
            labels = _names(row.get(named), separator, place, problems)
        else:
            labels = _ones(row, classes, place, problems)
        image = _image(source, place, row.get(where), problems)
        if image is not None:
            cells = {w: _text(row.get(c)) if c else "" for w, c in zip(_ABOUT, about, strict=True)}
            found.add(place, image, labels, cells, once=not named)
    found.check_splits()
    problems.report(len(rows))
    try:
        return MultiLabelDataset(
            images=tuple(found.images),
            labels=tuple(tuple(sorted(labels)) for labels in found.labels),
            splits=tuple(found.splits),
            groups=tuple(found.groups),
            classes=tuple(name.strip() for name in classes),
        )
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


class _Found:
    """Images, each once, with what all of its rows say."""

    def __init__(self, problems: _Problems) -> None:
        self.problems = problems
        self.images: list[ImageRef] = []
        self.labels: list[set[str]] = []
        self.splits: list[str] = []
        self.groups: list[str] = []
        self.places: list[str] = []
        self.at: dict[str, int] = {}

    def add(
        self,
        place: str,
        image: ImageRef,
        labels: set[str],
        cells: Mapping[str, str],
        *,
        once: bool,
    ) -> None:
        split = SPLITS.get(cells["split"].casefold(), cells["split"])
        key = str(image.path) if image.path else place
        i = self.at.setdefault(key, len(self.images))
        if i == len(self.images):
            self.images.append(image)
            self.labels.append(labels)
            self.splits.append(split)
            self.groups.append(cells["group"])
            self.places.append(place)
            return
        both = f"{image.name} ({self.places[i]} and {place})"
        if once:
            self.problems.add("images listed twice", both)
        elif bool(labels) != bool(self.labels[i]):
            self.problems.add("images with labels in one row and none in another", both)
        if (split, cells["group"]) != (self.splits[i], self.groups[i]):
            self.problems.add("images in two splits or groups", both)
        self.labels[i] |= labels

    def check_splits(self) -> None:
        known = {"", *SPLITS.values()}
        for split, place in zip(self.splits, self.places, strict=True):
            if split not in known:
                self.problems.add(
                    "unknown splits, expected train, val or test", f"{split!r} ({place})"
                )
            if not split and any(self.splits):
                self.problems.add("empty splits, where other rows state one", place)


def _table(source: Path) -> Path:
    """The table itself, where its folder is given."""
    if source.is_dir():
        inside = [source / f"metadata{s}" for s in READERS if (source / f"metadata{s}").is_file()]
        if not inside:
            raise InputError(f"{source}: is a folder, where an image has one label; {_EXPECTED}")
        return inside[0]
    if not source.exists():
        raise InputError(f"{source}: does not exist; {_EXPECTED}")
    return source


def _labels(columns: Iterable[str]) -> str:
    """The table's own name of the column of labels; "" where it has none."""
    there = {c.strip().casefold(): c for c in columns}
    return next((there[name] for name in LABELS if name in there), "")


def _knows(columns: Iterable[str]) -> bool:
    columns = list(columns)
    others = [c for c in columns if c.strip().casefold() not in COLUMNS["path"]]
    return bool(_column(columns, "path") and others)


def _separator(source: Path, cells: Iterable[Any]) -> str:
    """The one that stands in the cells; "" for none."""
    seen = {s for cell in cells if isinstance(cell, str) for s in SEPARATORS if s in cell}
    if len(seen) > 1:
        raise InputError(
            f"{source}: both | and ; stand in the labels, so it is not clear where one ends; "
            "use one of them between labels and neither in a class name"
        )
    return seen.pop() if seen else ""


def _names(cell: Any, separator: str, place: str, problems: _Problems) -> set[str]:
    if isinstance(cell, list | tuple):
        parts = [_text(part) for part in cell]
    else:
        text = _text(cell)
        parts = [part.strip() for part in (text.split(separator) if separator else [text])]
        if parts == [""]:
            return set()
    if not all(parts):
        problems.add("empty names between separators", place)
    return {part for part in parts if part}


def _ones(
    row: Mapping[str, Any], classes: Sequence[str], place: str, problems: _Problems
) -> set[str]:
    shown = set()
    for name in classes:
        cell = _text(row.get(name))
        if cell.casefold() in _YES:
            shown.add(name.strip())
        elif cell.casefold() not in _NO:
            problems.add("cells that are not 0 or 1", f"{name} = {cell!r} ({place})")
    return shown
