"""Images with one label each from a table: CSV, JSON lines or Parquet, one row an image."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from handful.contracts import ImageRef, at_home
from handful.data._files import file_in_errors
from handful.data._image_table import PATH, ImageTable, cell_text, find_column
from handful.data._label_lists import label_list
from handful.data.dataset import Dataset
from handful.errors import InputError

LISTED_AGAIN = "listed again"  # what `Dataset.ignored` calls rows that repeat another
SPECIES = ("species", "scientificname", "scientific_name")  # as Camtrap DP and others have it
LABEL = ("label", "class", "category", "class_name", "classname", *SPECIES)


def table(path: str | Path | ImageTable) -> Dataset:
    """Labelled images from `path,label[,split,group]`, one row an image.

    CSV (comma, semicolon or tab; UTF-8), JSON lines or Parquet; Hugging Face's `metadata.csv`,
    `.jsonl` and `.parquet` (`file_name,label`) too, and Parquet that holds the images themselves.
    Relative paths start at the table's folder. A row that repeats another one counts once, which
    `Dataset.ignored` tells; columns without a meaning here are kept in `Dataset.columns`.

    Raises:
        InputError: two columns of one name, missing columns, missing files, empty cells, labels
            such as `nan`, labels that differ in upper and lower case alone, an image listed twice
            with two labels, a split other than train, val and test, a group in more than one;
            everything that is wrong at once, with its lines.
        MissingExtraError: a Parquet file, without the library that reads them.
    """
    found = path if isinstance(path, ImageTable) else ImageTable.of_file(at_home(path), _accepts)
    for what, names in (("path", PATH), ("label", LABEL)):
        if not find_column(found.columns, names):
            raise InputError(
                f"{found.source}: has no column for the {what}; expected one named "
                f"{', '.join(names[:-1])} or {names[-1]}, got {', '.join(found.columns) or 'none'}"
            )
    label_column = find_column(found.columns, LABEL)
    _check_label_column(found, label_column)
    places = [place for place, _ in found.rows]
    cells = [_label(found, place, row.get(label_column)) for place, row in found.rows]
    labels = found.one_spelling(places, cells)
    stated = [found.split_and_group(row) for _, row in found.rows]
    images: list[ImageRef] = []
    kept: list[int] = []
    seen: dict[str, int] = {}
    for i, (place, row) in enumerate(found.rows):
        image = found.image(place, row)
        if image is None:
            continue
        first = i if image.path is None else seen.setdefault(os.path.abspath(image.path), i)  # noqa: PTH100
        same = (labels[first], stated[first]) == (labels[i], stated[i])
        if first == i:
            images.append(image)
            kept.append(i)
        elif not same:
            found.problem("images listed twice", f"{image.name} ({places[first]} and {place})")
    found.check_splits(places, [split for split, _ in stated])
    found.report()
    repeated = len(found.rows) - len(kept)
    with file_in_errors(found.source):
        return Dataset(
            images=tuple(images),
            labels=tuple(labels[i] for i in kept),
            splits=tuple(stated[i][0] for i in kept),
            groups=tuple(stated[i][1] for i in kept),
            classes=found.classes(labels),
            ignored={LISTED_AGAIN: repeated} if repeated else {},
            unreadable=found.unreadable,
            columns=found.other_columns([label_column], [found.rows[i] for i in kept]),
        )


def _check_label_column(found: ImageTable, chosen: str) -> None:
    """Refuse a column `class` beside `species`: in taxonomy a class is Mammalia, not the species.

    Raises:
        InputError: both, with different cells.
    """
    species = find_column(found.columns, SPECIES)
    if not species or chosen in (species, find_column(found.columns, LABEL[:1])):
        return
    if all(cell_text(row.get(chosen)) == cell_text(row.get(species)) for _, row in found.rows):
        return
    raise InputError(
        f"{found.source}: the columns {chosen} and {species} may both be the label; rename the "
        "column that is to label"
    )


def _label(found: ImageTable, place: str, cell: Any) -> str:
    """The one label in a cell; notes where there is none, or more than one."""
    names = label_list(cell)
    if names is not None and len(names) != 1:
        found.problem("lists of labels", f"{cell!r} ({place})")
    text = cell_text(cell) if names is None else (names or ["?"])[0]
    if not text:
        found.problem("empty labels", place)
    return text


def _accepts(columns: Iterable[str]) -> bool:
    columns = list(columns)
    return bool(find_column(columns, PATH) and find_column(columns, LABEL))
