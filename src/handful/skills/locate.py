"""Locate the image files of a support set by their digests.

A skill keeps digests and no pixels. With the folder that it was taught from, its images can be
shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from handful import data
from handful.contracts import ImageRef, at_home
from handful.data.image_names import name_parts
from handful.errors import ImageError, InputError
from handful.features import Failure


class LocatedImages(dict[str, ImageRef]):
    """Digest to image.

    Attributes:
        ignored: kind to number of files and folders that were passed over in the search.
        failures: folders that cannot be listed.
    """

    def __init__(self, ignored: Mapping[str, int], failures: Sequence[Failure]) -> None:
        super().__init__()
        self.ignored, self.failures = dict(ignored), tuple(failures)


def locate_images(folder: Path, ids: Sequence[str], names: Sequence[str]) -> LocatedImages:
    """Digest to image, for those of `ids` that lie somewhere in a folder.

    Files with the name of one of `names` are read first; the rest only while some of the
    images are still missing.

    Args:
        folder: searched with all its folders.
        ids: digests of the images wanted.
        names: their names, as a support set has them; "" where there is none.

    Raises:
        InputError: no such folder, or no image in it.
    """
    folder = at_home(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; expected the one with the support images")
    wanted, likely = set(ids), {name_parts(name)[-1] for name in names if name}
    images = data.find_images([folder])
    lost = enumerate(images.unreadable, start=len(images))
    found = LocatedImages(images.ignored, [Failure(*pair, index=i) for i, pair in lost])
    for ref in sorted(images, key=lambda ref: name_parts(ref.name)[-1] not in likely):
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
