"""A decoded picture of any mode to upright RGB on a background."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import Base as Tag
from PIL.Image import Transpose
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from handful.data._levels import Meaning, to_levels
from handful.data._notes import Note
from handful.data._tiff import NO_DATA, SAMPLE_MAX, SAMPLE_MIN, number

_LIGHT = (JpegImageFile, PngImageFile, BmpImageFile)  # hold nothing large beside the pixels

# What Pillow raises on malformed bytes: its plug-ins leave struct, zlib, index and number errors
# through while decoding. A warning is among them for callers who turn warnings into errors.
MALFORMED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    RuntimeError,  # of AVIF
    struct.error,
    zlib.error,
    Warning,
    Image.DecompressionBombError,
)

_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def upright(
    image: Image.Image, meaning: Meaning, background: tuple[int, int, int], note: Note
) -> Image.Image:
    """RGB, turned by the camera's EXIF, without metadata."""
    turn = _turn(image)
    rgb = _rgb(image, meaning, background, note)
    if turn is not None:
        rgb = rgb.transpose(turn)
    rgb.info.clear()  # else its EXIF would turn the picture a second time elsewhere
    rgb.getexif().clear()
    return rgb


def meaning_of(image: Image.Image) -> Meaning:
    """What a PIL image of a TIFF says of its samples, as far as `ImageRef` has kept it."""
    tags = getattr(image, "tag_v2", image.info.get("tiff", {}))
    return Meaning(
        bits=tags.get(Tag.BitsPerSample, (16,))[0],
        low=number(tags, SAMPLE_MIN, min),
        high=number(tags, SAMPLE_MAX, max),
        no_data=number(tags, NO_DATA, min),
        white_is_zero=tags.get(Tag.PhotometricInterpretation) == 0,
    )


def _rgb(
    image: Image.Image, meaning: Meaning, background: tuple[int, int, int], note: Note
) -> Image.Image:
    """RGB of any mode, on the background where it is transparent."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image)
        values = values.astype(values.dtype.newbyteorder("="), copy=False)
        rgb = Image.fromarray(to_levels(values, meaning, note)).convert("RGB")
        clear = image.info.get("transparency")
        if isinstance(clear, int):  # one grey of a 16-bit PNG stands for "nothing here"
            rgb.paste(background, mask=Image.fromarray(values == clear))
        return rgb
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        if alpha.getextrema()[0] != 255:
            note("has transparent parts, which are laid on a plain background")
        rgb = Image.new("RGB", image.size, background)
        rgb.paste(rgba, mask=alpha)
        return rgb
    if image.mode == "RGB" and isinstance(image, _LIGHT):
        return image  # a copy would cost a third of a JPEG's decoding
    return image.convert("RGB")


def _turn(image: Image.Image) -> Transpose | None:
    """The turn that makes it upright, by the camera's EXIF; None where that block is broken.

    Pillow has turned a TIFF already, and then reports no orientation any more.
    """
    try:
        return _TURNS.get(image.getexif().get(Tag.Orientation, 1))
    except MALFORMED:
        return None
