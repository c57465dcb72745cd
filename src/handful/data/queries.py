"""Images to ask about, from whatever a program holds; labels that stand beside them are left."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from handful.contracts import ImageRef, at_home
from handful.data import _containers as containers
from handful.data._frames import frame_images
from handful.data.dataset import LabelledImages
from handful.data.folder import find_images
from handful.data.memory_table import MemoryTable
from handful.errors import InputError


def images_of(source: Any) -> Iterable[Any]:
    """One image, many images, or labelled ones without their labels, one after another.

    Args:
        source: an image (see `handful.data.image_ref`) or an iterable of images, which is not read
            ahead; a folder, of which all images are meant; an array `[N, H, W, 3]` or a tensor
            `[N, 3, H, W]`; a column of a data frame, or a data frame with a column of paths or
            images; a torch `Dataset`, or (image, label) pairs.

    Raises:
        InputError: nothing of the kind.
    """
    if isinstance(source, LabelledImages):
        return source.images
    if containers.is_frame(source) or isinstance(source, MemoryTable):
        table = frame_images(source) if containers.is_frame(source) else source
        return (table.image(place, row) for place, row in table.rows)
    if isinstance(source, str | os.PathLike) and os.path.isdir(at_home(source)):  # noqa: PTH112
        return find_images(at_home(source)).with_unreadable()
    if _is_single(source):
        return [source]
    if containers.is_data_set(source) and not containers.is_loader(source):
        return map(_image, containers.items(source))
    if not containers.is_sequence(source):
        raise InputError(
            "expected images: a path, an image, a list of them, an array [N, H, W, 3], a "
            f"data frame or a torch Dataset; got {type(source).__name__}"
        )
    if containers.is_loader(source):
        raise InputError("a DataLoader gives batches; give its data set, loader.dataset")
    return map(_image, source)


def _is_single(source: Any) -> bool:
    """One image where several are expected: a path is not a list of letters."""
    kinds = (ImageRef, str, bytes, bytearray, memoryview, os.PathLike)
    if isinstance(source, kinds) or hasattr(source, "convert"):
        return True
    return containers.is_array(source) and source.ndim == 3


def _image(item: Any) -> Any:
    """The image of an (image, label) pair; anything else is the image itself."""
    return item[0] if isinstance(item, tuple) and len(item) == 2 else item
