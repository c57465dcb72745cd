"""Photos without labels, each once and none that the skill holds already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handful import data
from handful.contracts import ImageRef
from handful.features import Extraction


@dataclass(frozen=True)
class Distinct:
    """What is left of photos without labels.

    Args:
        rows: of the extraction, that are left.
        in_support: names of photos that are byte for byte support images.
        repeated: names of photos that are there already.
    """

    rows: tuple[int, ...]
    in_support: tuple[str, ...]
    repeated: tuple[str, ...]

    @classmethod
    def of(cls, found: Extraction, images: Sequence[ImageRef], known: Collection[str]) -> Distinct:
        """By their digests; the first of equal photos stays.

        Args:
            found: features of the images.
            images: that they were taken from.
            known: digests of the images that the skill holds.
        """
        first: dict[str, int] = {}
        in_support, repeated = [], []
        for row, (place, id_) in enumerate(zip(found.kept, found.features.ids, strict=True)):
            if id_ in known:
                in_support.append(images[place].name)
            elif first.setdefault(id_, row) != row:
                repeated.append(images[place].name)
        return cls(tuple(first.values()), tuple(in_support), tuple(repeated))


def find_unlabelled(source: Any, kind: str) -> list[ImageRef]:
    """The images of files and folders, or given ones, perhaps none; labels beside them are left.

    Args:
        source: a file or folder, several of them, or what `handful.data.images_of` takes.
        kind: what an image without a path is called in reports, with its number.
    """
    given = [source] if isinstance(source, str | Path) else data.images_of(source)
    images = list(given)
    if images and all(isinstance(image, str | Path) for image in images):
        return data.find_images(images).with_unreadable()
    return [data.reference(image, f"<{kind} {i}>") for i, image in enumerate(images)]
