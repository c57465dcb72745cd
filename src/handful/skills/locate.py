"""Locate the image files of a support set by their digests.

A skill keeps digests and no pixels. With the folder that it was taught from, its images can be
shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from handful import data
from handful.contracts import ImageRef
from handful.errors import ImageError, InputError


def locate_images(folder: Path, ids: Sequence[str], names: Sequence[str]) -> dict[str, ImageRef]:
    """Digest to image, for those of `ids` that lie somewhere in a folder.

    Files whose path ends like one of `names` are read first; the rest only while some of the
    images are still missing.

    Args:
        folder: searched with all its folders.
        ids: digests of the images wanted.
        names: their names, as a support set has them; "" where there is none.

    Raises:
        InputError: no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; expected the one with the support images")
    wanted, likely = set(ids), {name for name in names if name}
    found: dict[str, ImageRef] = {}
    images = data.find_images([folder])
    for ref in sorted(images, key=lambda ref: data.short_name(ref.name) not in likely):
        if len(found) == len(wanted):
            break
        try:
            digest = ref.digest()
        except ImageError:  # unreadable, so none of those that were read once
            continue
        if digest in wanted:
            found.setdefault(digest, ref)
    return found


def decode_or_none(ref: ImageRef | None) -> Image.Image | None:
    """The image as RGB; None where there is none or it cannot be read any more."""
    try:
        return data.decode(ref) if ref is not None else None
    except ImageError:
        return None
