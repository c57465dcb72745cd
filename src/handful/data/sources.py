"""`load`: labelled images from any source; which split to use."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from handful.contracts import at_home
from handful.data import formats
from handful.data._split_folders import hold_the_same
from handful.data.dataset import Dataset, LabelledImages
from handful.data.folder import folder
from handful.data.formats.folder import Folder
from handful.data.group_by import parse_group_by
from handful.data.in_memory import read_source
from handful.data.memory_table import MemoryTable
from handful.data.multi_label_table import is_multi_label_table
from handful.data.table import table
from handful.data.text import clean_name
from handful.errors import InputError

DatasetT = TypeVar("DatasetT", bound=LabelledImages)


def load(source: Any, *, classes: Iterable[str] | None = None) -> Dataset:
    """Labelled images from a folder per class, a table or a CoOp split file, whichever it is.

    Or from memory: a data frame, pairs, arrays, a torch data set; see `read_source`.

    A folder with a `metadata.csv`, `.jsonl` or `.parquet` in it (or in its `train`, `val`, `test`)
    is read by that table; one with a `split_zhou_*.json` by that file. A `Dataset` is returned as
    it is. Each format is a file in `handful/data/formats/`.

    Args:
        source: a path, a data set, or images in memory.
        classes: names of the classes, where labels in memory are numbers.

    Raises:
        InputError: no such path; of no format; what its format finds wrong; several labels an
            image.
    """
    found = read_source(source, classes=classes)
    if isinstance(found, Dataset):
        return found
    if isinstance(found, LabelledImages) or (
        isinstance(found, MemoryTable) and is_multi_label_table(found)
    ):
        raise InputError("the images have any number of labels; expected one label an image")
    return table(found) if isinstance(found, MemoryTable) else formats.load(Path(found))


def with_classes_known(source: Any, group_by: str, classes: Iterable[str] = ()) -> Any:
    """A source with its folders taken for classes, where what was asked for says that they are.

    Folders that all hold the same folders (`deer/north`, `deer/south`, `fox/north`, ...) may be
    classes or places. They are classes where their folders are to be groups (`group_by` is
    `parent` or a pattern on names), or where they are called as the classes are.

    Args:
        source: as for `load`; what is no such folder is returned as it is.
        group_by: how groups are stated.
        classes: names of the classes, where they are known.
    """
    if not isinstance(source, str | os.PathLike):
        return source
    path = at_home(source)
    if not isinstance(formats.find(path), Folder):
        return source
    names = hold_the_same(path)
    if not names:
        return source
    named = {clean_name(name) for name in names} <= {clean_name(name) for name in classes}
    stated = parse_group_by(group_by).kind in ("parent", "name") if not named else True
    return folder(path, classes=True) if stated else source


def split_or_all(dataset: DatasetT, name: str) -> DatasetT:
    """The images of a split where splits are stated, else all of them."""
    return dataset.split(name) if any(dataset.splits) else dataset
