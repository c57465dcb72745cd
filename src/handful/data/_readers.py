"""A reader for each kind of file that Pillow decodes: checks, remarks, and the loaded picture.

Pillow's plug-in classes are called directly. `PIL.Image.open` would warn of large pictures before
a caller can see their size, and silencing a warning is not thread-safe; nothing global is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from handful.data import _headers, _jpeg, _jpeg_zeros, _png, _tiff
from handful.data._levels import DEEPEST_GUESS, Meaning, lower_bytes, to_levels
from handful.data._notes import Note
from handful.data._one_colour import is_one_colour
from handful.errors import ImageError

# A JPEG class for JPEG and for MPO, whose first picture is a JPEG like any other.
_CLASSES: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "AVIF": AvifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "GIF": GifImageFile,
}
_ANIMATION = "is an animation, of which the first frame is read"


class Read(NamedTuple):
    """A loaded picture, and what its file says of samples deeper than 8 bits."""

    image: Image.Image
    meaning: Meaning


def _open(kind: str, name: str, data: bytes, limit: int) -> ImageFile:
    image = _CLASSES[kind](BytesIO(data))  # reads the header
    _headers.check_size(name, image.size, limit)
    return image


def _read_png(name: str, data: bytes, limit: int, note: Note) -> Read:
    whole = _png.picture_alone(data)
    image = _open("PNG", name, whole, limit)
    if _png.is_damaged(data):
        raise ValueError("a checksum does not match")
    if _png.is_animation(data):
        note(_ANIMATION)
    image.load()
    meaning = Meaning(significant=_png.significant_bits(data))
    if _png.depth(data) == 16 and image.mode in ("RGB", "RGBA"):
        return Read(_colours("PNG", whole, image, meaning, note), meaning)
    return Read(image, meaning)


def read_jpeg(name: str, data: bytes, limit: int, note: Note, least: int | None = None) -> Read:
    """A JPEG; at a half, quarter or eighth of its size where no side falls below `least`."""
    image = _open_jpeg(name, data, limit, least)
    try:
        image.load()
    except OSError:
        whole = _jpeg.completed(data)
        if whole is None:
            raise
        image = _open_jpeg(name, whole, limit, least)
        image.load()
        note("lacks its end marker; all of its picture is there")
    if _jpeg_zeros.has_lost_data(data, one_colour=is_one_colour(image)):
        raise ValueError("zeros stand where picture data should, as a broken card leaves it")
    return Read(image, Meaning())


def _open_jpeg(name: str, data: bytes, limit: int, least: int | None) -> ImageFile:
    image = _open("JPEG", name, data, limit)
    if least is not None:
        image.draft(None, (least, least))
    return image


def _read_tiff(name: str, data: bytes, limit: int, note: Note) -> Read:
    _tiff.check_directory(data)
    layout = _tiff.layout(data)
    if layout is None:  # broken tags, of which Pillow says more
        image = _open("TIFF", name, data, limit)
        image.load()
        return Read(image, Meaning())
    if refusal := layout.refusal():
        raise ImageError(f"{name}: {refusal}")
    try:
        image = _open("TIFF", name, data, limit)
    except SyntaxError as error:
        if "unknown pixel mode" in str(error):
            raise ImageError(f"{name}: {layout.unread()}") from error
        raise
    image.load()
    if layout.has_pages:
        note("has further pages, which are left out")
    meaning, found = layout.meaning(), Read(image, layout.meaning())
    if layout.bits == 16 and image.mode in ("RGB", "RGBA") and not layout.planes:
        found = Read(_colours("TIFF", data, image, meaning, note), meaning)
    if layout.has_unnamed_band and image.mode == "RGBA":
        note("has a fourth band of unstated meaning, which is left out")
        found = Read(found.image.convert("RGB"), meaning)
    return found


def _read_other(kind: str) -> Callable[[str, bytes, int, Note], Read]:
    def read(name: str, data: bytes, limit: int, note: Note) -> Read:
        stated = _headers.canvas(data) if kind in ("WebP", "GIF") else None
        if stated:
            _headers.check_size(name, stated, limit)
        if kind == "AVIF" and not features.check("avif"):
            raise ImageError(
                f"{name}: is an AVIF photo, which this Pillow was built without; "
                "export it as JPEG, or install Pillow's own wheel"
            )
        image = _open(kind, name, data, limit)
        if getattr(image, "is_animated", False):
            note(_ANIMATION)
        image.load()
        return Read(image, Meaning())

    return read


def _colours(kind: str, data: bytes, image: ImageFile, meaning: Meaning, note: Note) -> Image.Image:
    """Colours of 16 bits, where the upper eight alone, which Pillow keeps, would be too few."""
    upper = np.asarray(image)
    if not meaning.says_anything and upper[..., :3].max() >= DEEPEST_GUESS >> 8:
        return image
    lower = lower_bytes(_CLASSES[kind](BytesIO(data)))
    if lower is None:
        return image
    levels = upper.copy()
    samples = upper[..., :3].astype(np.uint16) << 8 | lower[..., :3]
    levels[..., :3] = to_levels(samples, meaning, note)
    found = Image.fromarray(levels)
    found.info = image.info  # with the camera's EXIF
    return found


READERS = {
    "PNG": _read_png,
    "JPEG": read_jpeg,
    "TIFF": _read_tiff,
    **{kind: _read_other(kind) for kind in ("WebP", "AVIF", "BMP", "GIF")},
}
