"""The photos that `predict` is asked about: files, folders, a list of them, names on a stream."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from handful import data
from handful.contracts import ImageRef
from handful.errors import InputError

STREAM = "-"  # in place of paths


@dataclass(frozen=True)
class Photos:
    """What was found.

    Args:
        with_cells: each photo with its cells of the columns that are carried along.
        ignored: files that are no photos, by kind.
        read: the files and folders that were named.
    """

    with_cells: Sequence[tuple[ImageRef, tuple[str, ...]]]
    ignored: Mapping[str, int] = field(default_factory=dict)
    read: Sequence[Path] = ()


def find(paths: Sequence[Path], table: Path | None, keep: Sequence[str] | None) -> Photos:
    """Photos of paths, of a list, or of standard input.

    Raises:
        InputError: none of them, or more than one; no photo.
    """
    streamed = [str(p) for p in paths] == [STREAM]
    if table is not None and paths:
        raise InputError("photos are named in --table and beside it; leave one of the two out")
    if keep and table is None:
        raise InputError("--keep is about columns of a table of paths; name it with --table")
    if table is not None:
        found = data.read_list(table, keep or ())
        cells = zip(*found.cells, strict=True) if found.cells else ((),) * len(found.images)
        return Photos([*zip(found.images, cells, strict=True)])
    if streamed:
        images = data.read_stream(sys.stdin.buffer).images
        return Photos([(image, ()) for image in images])
    found_images = data.find_images(paths)
    return Photos(
        [(image, ()) for image in found_images.with_unreadable()], found_images.ignored, paths
    )
