"""A table of images and labels that a program holds in memory: a data frame, pairs, arrays."""

from __future__ import annotations

import os
from typing import Any

from handful.contracts import ImageRef
from handful.data._image_table import ImageTable, is_missing
from handful.data.pixels import image_ref

# What making a reference raises: ours, and Pillow's of a file that it reads only now.
_BAD_IMAGE = (OSError, ValueError, TypeError, SyntaxError)


class MemoryTable(ImageTable):
    """Rows whose images may be paths, bytes, PIL images, arrays or tensors.

    Unlike in a file, an image that cannot be used is a failure of its own and stops no other.
    """

    def image(self, place: str, row: dict[str, Any]) -> ImageRef:
        """The image of a row; one that cannot be used is a reference that says so."""
        return reference(row.get(self._path), f"<{place}>", self)


def reference(value: Any, name: str, table: ImageTable | None = None) -> ImageRef:
    """A reference to an image in memory or on disk; never an error.

    Args:
        value: see `handful.data.image_ref`; also `{"bytes": ..., "path": ...}`, as Hugging Face's
            tables have it.
        name: what reports call it, where it has no path.
        table: where relative paths start.
    """
    if isinstance(value, dict) and ("bytes" in value or "path" in value):
        path = value.get("path")
        name = path if isinstance(path, str) and path else name
        value = value["bytes"] if isinstance(value.get("bytes"), bytes) else value.get("path")
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return ImageRef(name, problem="there is no image")
    try:
        if isinstance(value, str | os.PathLike):
            return image_ref(table.find(os.fspath(value)) if table else value)
        return image_ref(value, name)
    except _BAD_IMAGE as error:
        cause = str(error).removeprefix(f"{name}: ")
        return ImageRef(name, problem=f"cannot be used as an image ({cause})")
