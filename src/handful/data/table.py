"""Images with one label each from a table: CSV, JSON lines or Parquet, one row an image."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from handful.contracts import ImageRef
from handful.data._files import file_in_errors
from handful.data._image_table import PATH, ImageTable, cell_text, find_column
from handful.data.dataset import Dataset
from handful.errors import InputError

LABEL = ("label", "class", "category", "class_name", "classname")


def table(path: str | Path | ImageTable) -> Dataset:
    """Labelled images from `path,label[,split,group]`, one row an image.

    CSV (comma, semicolon or tab; UTF-8), JSON lines or Parquet; Hugging Face's `metadata.csv`,
    `.jsonl` and `.parquet` (`file_name,label`) too, and Parquet that holds the images themselves.
    Relative paths start at the table's folder.

    Raises:
        InputError: missing columns, missing files, empty cells, an image listed twice, a split
            other than train, val and test, a group in more than one; everything that is wrong at
            once, with its lines.
        MissingExtraError: a Parquet file, without the library that reads them.
    """
    found = path if isinstance(path, ImageTable) else ImageTable.of_file(Path(path), _accepts)
    for what, names in (("path", PATH), ("label", LABEL)):
        if not find_column(found.columns, names):
            raise InputError(
                f"{found.source}: has no column for the {what}; expected one named "
                f"{', '.join(names[:-1])} or {names[-1]}, got {', '.join(found.columns) or 'none'}"
            )
    label_column = find_column(found.columns, LABEL)
    images: list[ImageRef] = []
    labels: list[str] = []
    splits: list[str] = []
    groups: list[str] = []
    seen: dict[Path, str] = {}
    for place, row in found.rows:
        labels.append(cell_text(row.get(label_column)))
        if not labels[-1]:
            found.problem("empty labels", place)
        split, group = found.split_and_group(row)
        splits.append(split)
        groups.append(group)
        image = found.image(place, row)
        if image is None:
            continue
        images.append(image)
        first = place if image.path is None else seen.setdefault(image.path, place)
        if first != place:
            found.problem("images listed twice", f"{image.name} ({first} and {place})")
    found.check_splits((place for place, _ in found.rows), splits)
    found.report()
    with file_in_errors(found.source):
        return Dataset(
            images=tuple(images),
            labels=tuple(labels),
            splits=tuple(splits),
            groups=tuple(groups),
            classes=found.classes(labels),
            unreadable=found.unreadable,
        )


def _accepts(columns: Iterable[str]) -> bool:
    columns = list(columns)
    return bool(find_column(columns, PATH) and find_column(columns, LABEL))
