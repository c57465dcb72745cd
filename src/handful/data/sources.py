"""Loads labelled images from a path, whatever kind of source it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from handful.data._rows import READERS, metadata_file
from handful.data.coop import coop
from handful.data.dataset import SPLITS, Dataset, LabelledImages
from handful.data.folder import entries, folder
from handful.data.table import table
from handful.errors import InputError

DatasetT = TypeVar("DatasetT", bound=LabelledImages)

EXPECTED = (
    "expected a folder with one folder per class (also below train, val and test), "
    "a table of images and labels (.csv, .tsv, .jsonl, .parquet), "
    "or a CoOp split file (split_zhou_<Name>.json)"
)


def load(path: str | Path | Dataset) -> Dataset:
    """Labelled images from a folder per class, a table or a CoOp split file, whichever it is.

    A folder with a `metadata.csv`, `.jsonl` or `.parquet` in it (or in its `train`, `val`, `test`)
    is read by that table; one with a `split_zhou_*.json` by that file. A `Dataset` is returned as
    it is.

    Raises:
        InputError: no such path; none of these; or what `folder`, `table` or `coop` find wrong.
    """
    if isinstance(path, Dataset):
        return path
    source = Path(path)
    if source.is_dir():
        return _from_folder(source)
    if not source.exists():
        raise InputError(f"{path}: does not exist; {EXPECTED}")
    suffix = source.suffix.lower()
    if suffix in READERS:
        return table(source)
    if suffix == ".json":
        return coop(source)
    raise InputError(f"{path}: is none of the kinds of source; {EXPECTED}")


def _from_folder(source: Path) -> Dataset:
    split_files = sorted(source.glob("split_zhou_*.json"))
    if len(split_files) > 1:
        several = ", ".join(f.name for f in split_files)
        raise InputError(f"{source}: holds several split files ({several}); name the one to use")
    if split_files:
        return coop(split_files[0])
    metadata = metadata_file(source)
    if metadata:
        return table(metadata)
    names = sorted(entry.name for entry in entries(source))
    splits = [(SPLITS[n.casefold()], source / n) for n in names if n.casefold() in SPLITS]
    files = [(split, metadata_file(part)) for split, part in splits]
    tables = [_with_split(table(file), split) for split, file in files if file]
    if tables:
        return _concatenate(tables)
    found = folder(source)
    beside = [n for n in names if Path(n).suffix.lower() in READERS]
    if len(found.classes) == 1 and beside:
        raise InputError(
            f"{source}: has one class folder ({found.classes[0]}) and the table {beside[0]}; "
            f"if the table holds the labels, name {source / beside[0]}"
        )
    return found


def _with_split(dataset: Dataset, split: str) -> Dataset:
    """Images of a table in `train/` belong to `train`, unless the table states another split."""
    return replace(dataset, splits=tuple(s or split for s in dataset.splits))


def _concatenate(parts: list[Dataset]) -> Dataset:
    return Dataset(
        images=tuple(i for part in parts for i in part.images),
        labels=tuple(n for part in parts for n in part.labels),
        splits=tuple(s for part in parts for s in part.splits),
        groups=tuple(g for part in parts for g in part.groups),
    )


def split_or_all(dataset: DatasetT, name: str) -> DatasetT:
    """The images of a split where splits are stated, else all of them."""
    return dataset.split(name) if any(dataset.splits) else dataset


def short_name(path: str) -> str:
    """The last two parts of a path: enough to find the image, and nobody's home folder."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
