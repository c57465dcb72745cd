"""`load`: labelled images from any source; which split to use."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from handful.data import formats
from handful.data.dataset import Dataset, LabelledImages
from handful.data.in_memory import read_source
from handful.data.memory_table import MemoryTable
from handful.data.multi_label_table import is_multi_label_table
from handful.data.table import table
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


def split_or_all(dataset: DatasetT, name: str) -> DatasetT:
    """The images of a split where splits are stated, else all of them."""
    return dataset.split(name) if any(dataset.splits) else dataset
