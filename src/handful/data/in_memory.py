"""Sources of labelled images that a program holds in memory: one reader for all of them.

data frame, pairs, arrays, torch data set, iterator -> `MemoryTable` -> the data set of a task
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from handful.contracts import ImageRef, at_home
from handful.data import _containers as containers
from handful.data._frames import frame_table
from handful.data._label_names import check_classes, to_names
from handful.data.dataset import LabelledImages
from handful.data.memory_table import MemoryTable
from handful.data.pixels import check_range, image_ref, is_tensor
from handful.errors import InputError

Source: TypeAlias = str | Path | LabelledImages | MemoryTable

_EXPECTED = (
    "expected a folder or a table on disk, a pandas.DataFrame, a list of (image, label) pairs, "
    "arrays as (images, labels), a torch Dataset, or an iterator of pairs"
)
_LOADERS = ("default_loader", "pil_loader")  # of torchvision; files are then read by `decode`
_SHOWN = 5


def read_source(
    source: Any, *, classes: Iterable[str] | None = None, root: str | Path | None = None
) -> Source:
    """Labelled images from a path, or from what a program holds in memory.

    Args:
        source: a path or a `LabelledImages` (returned as they are), a `pandas.DataFrame` with the
            columns of a table on disk, a list or an iterator of (image, label) pairs, a tuple
            (images, labels) of arrays or lists, or a torch `Dataset` of such pairs. An image is
            what `handful.data.image_ref` takes. A label is a text; a number where `classes`, or
            the data set's own `classes`, name it; a list of these, or an array of C zeros and
            ones, where an image has several.
        classes: C names of the classes that numbers stand for, in their order.
        root: where relative paths in memory start; the working directory when not given.

    Raises:
        InputError: nothing of the kind; no images; labels that are missing or not understood. An
            image that cannot be used is none of these: it is reported later and stops no other.
    """
    names = check_classes(classes)
    if isinstance(source, str | os.PathLike):
        if root is not None:
            raise InputError(
                f"{os.fspath(source)}: root= is for paths in memory; a folder or a table on disk "
                "says by itself where its images are; leave it out"
            )
        return at_home(source)
    if isinstance(source, LabelledImages | MemoryTable):
        return source
    return _read(source, names, at_home(root or "."))


def _read(source: Any, classes: Sequence[str] | None, root: Path) -> MemoryTable:
    """Any source in memory."""
    if containers.is_frame(source):
        return frame_table(source, classes, root)
    if containers.is_loader(source):
        raise InputError(
            "the source is a DataLoader, which gives batches; give its data set, loader.dataset, "
            "without Normalize in its transform"
        )
    if containers.is_array(source):
        raise InputError("the source is an array without labels; give a tuple (images, labels)")
    if isinstance(source, tuple) and len(source) == 2:
        return _of_columns(*source, classes, root)
    if containers.is_data_set(source):
        return _of_data_set(source, classes or containers.own_classes(source), root)
    if not containers.is_sequence(source):
        raise InputError(f"{_EXPECTED}; got {type(source).__name__}")
    where = "the list" if isinstance(source, list | tuple) else "the iterator"
    classes = classes or containers.own_classes(source)  # a data set may be an iterator as well
    return _of_pairs(_iterate(source), where, classes, root)


def _iterate(source: Iterable[Any]) -> Iterator[Any]:
    """The items; what the program's own iterator raises becomes an `InputError`.

    Raises:
        InputError: it cannot be asked further, so the images after it are out of reach.
    """
    count = 0
    try:
        for item in source:
            yield item
            count += 1
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the iterator stopped after {count} items ({type(error).__name__}: {error}); to leave "
            "out single images, give a list or a data set"
        ) from error


def _of_pairs(
    pairs: Iterable[Any],
    where: str,
    classes: Sequence[str] | None,
    root: Path,
    labels_beside: Any = None,
) -> MemoryTable:
    """Rows of (image, label) pairs.

    Args:
        pairs: the pairs, or an `ImageRef` where there is none and why.
        where: what errors call them.
        classes: names that numbers stand for.
        root: where relative paths start.
        labels_beside: N labels that are known without reading the pairs.
    """
    images: list[Any] = []
    labels: list[Any] = []
    places: list[str] = []
    odd: list[str] = []
    lost: list[tuple[str, str]] = []
    for i, pair in enumerate(pairs):
        place = f"image {i}"
        if isinstance(pair, ImageRef) and labels_beside is None:
            lost.append((pair.name, f"{pair.name}: {pair.problem}"))
            continue
        if isinstance(pair, ImageRef):
            pair = (pair, labels_beside[i])
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            odd.append(f"{_described(pair)} ({place})")
            continue
        images.append(pair[0])
        labels.append(pair[1])
        places.append(place)
    if odd:
        more = f" and {len(odd) - _SHOWN} more" if len(odd) > _SHOWN else ""
        raise InputError(
            f"{where}: expected (image, label) pairs, got something else ({len(odd)}): "
            f"{', '.join(odd[:_SHOWN])}{more}; of rows with names make a pandas.DataFrame(rows)"
        )
    if not images:
        reasons = f" ({'; '.join(reason for _, reason in lost[:3])})" if lost else ""
        raise InputError(f"{where}: has no images{reasons}; expected (image, label) pairs")
    names = to_names(labels, places, classes, where)
    column = "labels" if any(isinstance(name, list) for name in names) else "label"
    rows = [
        (place, {"image": image, column: name})
        for place, image, name in zip(places, images, names, strict=True)
    ]
    return MemoryTable(where, root, ["image", column], rows, classes or (), lost)


def _of_columns(images: Any, labels: Any, classes: Sequence[str] | None, root: Path) -> MemoryTable:
    """Rows of N images and N labels."""
    if isinstance(images, tuple) and isinstance(labels, tuple) and len(images) == len(labels) == 2:
        raise InputError(
            "two tuples of two may be two pairs or (images, labels); give a list of pairs, or "
            "lists of images and labels"
        )
    for what, values in (("images", images), ("labels", labels)):
        if not containers.is_sequence(values):
            raise InputError(
                f"a tuple of two is (images, labels), of which the {what} are "
                f"{_described(values)}; a single pair goes into a list: [(image, label)]"
            )
    if containers.is_array(images):
        _check_array(images)
    images, labels = list(images), list(labels)
    if len(images) != len(labels):
        raise InputError(f"{len(images)} images and {len(labels)} labels; give one label an image")
    return _of_pairs(zip(images, labels, strict=True), "the arrays", classes, root)


def _check_array(images: Any) -> None:
    """Refuse an array of images that is wrong as a whole, and not in single images.

    Raises:
        InputError: not `[N, H, W, 3]`; of another type; floats outside 0 to 1.
    """
    shape, tensor = list(images.shape), is_tensor(images)
    if len(shape) not in (3, 4) or 0 in shape[1:]:
        raise InputError(f"the array of images: expected [N, H, W, 3], got {shape} {images.dtype}")
    # the place of the channels among the axes: where it is expected, and where it may be instead
    expected, other = (1, 3) if tensor else (3, 1)
    if len(shape) == 4 and shape[expected] not in (1, 3, 4) and shape[other] in (1, 3):
        form, cure = "[N, H, W, 3]", "images.transpose(0, 2, 3, 1)"
        if tensor:
            form, cure = "a tensor [N, 3, H, W]", "images.permute(0, 3, 1, 2)"
        raise InputError(f"the array of images: expected {form}, got {shape}; turn it with {cure}")
    floats = images.is_floating_point() if tensor else np.issubdtype(images.dtype, np.floating)
    try:
        for image in images[:1]:
            image_ref(image.new_zeros(image.shape) if tensor else np.zeros_like(image))
        if floats:
            values = images.detach().float().cpu().numpy() if tensor else images
            finite = values[np.isfinite(values)]
            if finite.size:
                check_range(finite)
    except InputError as error:
        raise InputError(f"the array of images: {error}") from error


def _of_data_set(dataset: Any, classes: Sequence[str] | None, root: Path) -> MemoryTable:
    """Rows of a map-style data set; of an `ImageFolder` without a transform, its files."""
    where = f"the data set {type(dataset).__name__}"
    samples = getattr(dataset, "samples", None)
    loader = getattr(getattr(dataset, "loader", None), "__name__", "")
    transforms = ("transform", "target_transform", "transforms")
    untouched = all(getattr(dataset, name, None) is None for name in transforms)
    # photos decoded all at once would fill the memory
    if isinstance(samples, list) and loader in _LOADERS and untouched:
        return _of_pairs(samples, where, classes, root)
    targets = getattr(dataset, "targets", None)
    known: Any = targets if hasattr(targets, "__len__") else ()
    known = known if len(known) == len(dataset) else None
    return _of_pairs(containers.items(dataset), where, classes, root, known)


def _described(value: Any) -> str:
    """What something is, in a few words."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "None" if value is None else type(value).__name__
