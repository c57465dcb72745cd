"""Tables of images and labels, as a file or as `metadata.*` in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from handful.data import table
from handful.data._rows import READERS, metadata_file
from handful.data._walk import entries
from handful.data.dataset import SPLITS, Dataset
from handful.data.formats import Format


class Table(Format):
    """CSV, JSON lines or Parquet; see `handful.data.table`.

    A folder with a `metadata.csv`, `.jsonl` or `.parquet` in it, or in its `train`, `val` and
    `test`, is read by that table.
    """

    expected: ClassVar[str] = "a table of images and labels (.csv, .tsv, .jsonl, .parquet)"

    def reads(self, path: Path) -> bool:
        """By the ending of a file's name, or by such a file in a folder."""
        if path.is_dir():
            return bool(metadata_file(path) or _of_splits(path))
        return path.suffix.lower() in READERS

    def load(self, path: Path) -> Dataset:
        """The images of the table, or of the tables of all splits."""
        own = metadata_file(path) if path.is_dir() else path
        if own:
            return table(own)
        parts = [_with_split(table(file), split) for split, file in _of_splits(path)]
        return Dataset(
            images=tuple(i for part in parts for i in part.images),
            labels=tuple(n for part in parts for n in part.labels),
            splits=tuple(s for part in parts for s in part.splits),
            groups=tuple(g for part in parts for g in part.groups),
        )


def _of_splits(folder: Path) -> list[tuple[str, Path]]:
    """Splits with the tables in their folders."""
    names = sorted(entry.name for entry in entries(folder))
    parts = [(SPLITS[n.casefold()], folder / n) for n in names if n.casefold() in SPLITS]
    files = [(split, metadata_file(part)) for split, part in parts]
    return [(split, file) for split, file in files if file]


def _with_split(dataset: Dataset, split: str) -> Dataset:
    """Images of a table in `train/` belong to `train`, unless the table states another split."""
    return replace(dataset, splits=tuple(s or split for s in dataset.splits))
