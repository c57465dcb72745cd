"""`load`: labelled images from any source; which split to use, and short names of images."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from handful.data import formats
from handful.data.dataset import Dataset, LabelledImages

DatasetT = TypeVar("DatasetT", bound=LabelledImages)


def load(path: str | Path | Dataset) -> Dataset:
    """Labelled images from a folder per class, a table or a CoOp split file, whichever it is.

    A folder with a `metadata.csv`, `.jsonl` or `.parquet` in it (or in its `train`, `val`, `test`)
    is read by that table; one with a `split_zhou_*.json` by that file. A `Dataset` is returned as
    it is. Each format is a file in `handful/data/formats/`.

    Raises:
        InputError: no such path; of no format; or what its format finds wrong.
    """
    return path if isinstance(path, Dataset) else formats.load(Path(path))


def split_or_all(dataset: DatasetT, name: str) -> DatasetT:
    """The images of a split where splits are stated, else all of them."""
    return dataset.split(name) if any(dataset.splits) else dataset


def short_name(path: str) -> str:
    """The last two parts of a path: enough to find the image, without the user's home folder."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])
