"""What a program's containers of images are, recognised without importing pandas or torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from handful.contracts import ImageRef
from handful.data.pixels import is_tensor


def is_frame(source: Any) -> bool:
    """Whether it is a `pandas.DataFrame`."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def is_series(source: Any) -> bool:
    """Whether it is a column of a data frame, or an index."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.Series | pandas.Index)


def is_array(source: Any) -> bool:
    """Whether it is an array or a tensor."""
    return isinstance(source, np.ndarray) or is_tensor(source)


def is_sequence(source: Any) -> bool:
    """Whether it has items in an order: a list, an array, a column, an iterator; not a text."""
    if isinstance(source, str | bytes | bytearray | Mapping | set | frozenset):
        return False
    return hasattr(source, "__iter__") and getattr(source, "ndim", 1) > 0


def is_data_set(source: Any) -> bool:
    """Whether it is a map-style data set as torch defines it: `len(d)` and `d[0]` to `d[len - 1]`.

    By its methods: a data set need not inherit from torch's class.
    """
    if isinstance(source, list | tuple | str | bytes | bytearray | Mapping) or is_array(source):
        return False
    if is_frame(source) or is_series(source):
        return False
    return hasattr(source, "__getitem__") and hasattr(source, "__len__")


def is_loader(source: Any) -> bool:
    """Whether it is torch's `DataLoader`, which gives batches."""
    return hasattr(source, "batch_sampler") and hasattr(source, "dataset")


def items(dataset: Any) -> Iterator[Any]:
    """The items of a data set; an `ImageRef` that says why, for one that it cannot give."""
    for i in range(len(dataset)):
        try:
            yield dataset[i]
        # a program's own code may raise anything, and one bad image stops no other
        except Exception as error:  # noqa: BLE001
            cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            yield ImageRef(f"<image {i}>", problem=f"the data set raises {cause}")


def own_classes(dataset: Any) -> tuple[str, ...] | None:
    """Names of the classes, as torchvision keeps them; also of a data set below a `Subset`."""
    while dataset is not None:
        names = getattr(dataset, "classes", None)
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            return tuple(names) or None
        dataset = getattr(dataset, "dataset", None)
    return None
