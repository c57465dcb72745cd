"""The pictures of a support set, found again by their content; names only say where to look first.

A skill keeps digests and no pixels. With the folder that it was taught from, its pictures can be
shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from handful import data
from handful.contracts import ImageRef
from handful.errors import ImageError, InputError


def find(folder: Path, ids: Sequence[str], names: Sequence[str]) -> dict[str, ImageRef]:
    """Digest to image, for those of `ids` that lie somewhere in a folder.

    Files whose path ends like one of `names` are looked at first; the rest only while some of the
    images are still missing.

    Args:
        folder: looked through with all its folders.
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
    images = sorted(images, key=lambda ref: data.short_name(ref.name) not in likely)
    for ref in images:
        if len(found) == len(wanted):
            break
        try:
            digest = ref.digest()
        except ImageError:  # unreadable, so none of those that were read once
            continue
        if digest in wanted:
            found.setdefault(digest, ref)
    return found


def picture(ref: ImageRef | None) -> Image.Image | None:
    """Its pixels, RGB; None where there is no picture or it cannot be read any more."""
    if ref is None:
        return None
    try:
        return data.decode(ref)
    except ImageError:
        return None
