"""The safe decoder: an image file of an allowed kind to upright RGB, or an `ImageError`.

Pillow's plug-in classes are called directly. `PIL.Image.open` would warn of large pictures before
a caller can see their size, and silencing a warning is not thread-safe; nothing global is touched.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.ExifTags import Base as Tag
from PIL.GifImagePlugin import GifImageFile
from PIL.Image import Transpose
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from handful.contracts import ImageRef
from handful.data import _headers
from handful.errors import ImageError, InputError

MAX_PIXELS = 89_478_485  # Pillow's own limit: beyond it Pillow warns, or refuses
WHITE = (255, 255, 255)

# A JPEG class for JPEG and for MPO, whose first picture is a JPEG like any other.
_CLASSES: dict[str, type[ImageFile]] = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
    "GIF": GifImageFile,
}
_LIGHT = (JpegImageFile, PngImageFile, BmpImageFile)  # hold nothing large beside the pixels

# What Pillow raises on malformed bytes: its plug-ins leave struct, zlib, index and number errors
# through while decoding. A warning is among them for callers who turn warnings into errors.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
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


def decode(
    ref: ImageRef,
    *,
    max_pixels: int = MAX_PIXELS,
    background: tuple[int, int, int] = WHITE,
) -> Image.Image:
    """One picture, upright, RGB, without its metadata; the first frame of an animation.

    JPEG (also MPO), PNG, WebP, BMP, TIFF and GIF, recognised by their first bytes.

    - Grey of 16 bits (or 12 in a TIFF) is scaled by what the format can hold: its white becomes
      255, `v * 255 / 65535`. Integers of 32 bits and floating point have no white; they are
      scaled by their own lowest and highest finite value.
    - Transparency is laid on `background`. CMYK is converted as Pillow does; ICC profiles are not
      applied, as in the published preprocessing of CLIP.
    - A file that ends early is refused, never half-read (unless a program sets Pillow's
      `LOAD_TRUNCATED_IMAGES`), and so is a PNG whose pixel data fails its checksum.

    Args:
        ref: the image; pixels pass through, a PIL image becomes what its file would.
        max_pixels: width x height beyond which a file is refused from its header, before memory is
            taken. Pillow's own `Image.MAX_IMAGE_PIXELS` holds beside it: the smaller counts.
        background: red, green and blue (0 to 255) behind transparent pixels.

    Raises:
        ImageError: with the image's name, for every file that cannot be decoded safely.
        InputError: `max_pixels` or `background` cannot be meant.

    >>> import numpy as np
    >>> decode(ImageRef.of(np.zeros((2, 3, 3), np.uint8))).size
    (3, 2)
    """
    if max_pixels < 1 or len(background) != 3 or not all(0 <= c <= 255 for c in background):
        raise InputError(
            f"expected max_pixels above 0 and a background of 3 numbers from 0 to 255, "
            f"got {max_pixels} and {background}"
        )
    if ref.pixels is not None:
        return Image.fromarray(ref.pixels)
    if ref.image is not None:
        what = f"this PIL image of mode {ref.image.mode} cannot be made RGB ({{}})"
        with _image_errors(ref.name, what):
            return _upright(ref.image, background)
    data = ref.content()
    kind = _headers.kind(data)
    if kind is None:
        raise ImageError(f"{ref.name}: {_headers.describe_unknown(data, ref.name)}")
    limit = min(max_pixels, Image.MAX_IMAGE_PIXELS or max_pixels)
    what = f"this {kind} file is damaged or cut short ({{}}); replace it by a sound copy"
    with _image_errors(ref.name, what):
        return _decode_file(ref.name, kind, data, limit, background)


def _decode_file(
    name: str, kind: str, data: bytes, limit: int, background: tuple[int, int, int]
) -> Image.Image:
    stated = _headers.canvas(data) if kind in ("WebP", "GIF") else None
    if stated:
        _check_size(name, stated, limit)
    image = _CLASSES[kind](BytesIO(data))  # reads the header
    _check_size(name, image.size, limit)
    if kind == "PNG" and _headers.png_is_damaged(data):
        raise ValueError("a checksum does not match")
    image.load()
    return _upright(image, background)


@contextmanager
def _image_errors(name: str, message: str) -> Iterator[None]:
    """Whatever Pillow raises becomes an `ImageError` with `message`, `{}` in it being the cause."""
    try:
        yield
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(f"{name}: needs more memory than there is; make it smaller") from error
    except _DAMAGE as error:
        cause = str(error) or type(error).__name__
        raise ImageError(f"{name}: {message.format(cause)}") from error


def _upright(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    turn = _turn(image)
    rgb = _rgb(image, background)
    if turn is not None:
        rgb = rgb.transpose(turn)
    rgb.info.clear()  # else its EXIF would turn the picture a second time elsewhere
    rgb.getexif().clear()
    return rgb


def _check_size(name: str, size: tuple[int, int], limit: int) -> None:
    width, height = size
    if width * height > limit:
        raise ImageError(
            f"{name}: says it has {width} x {height} pixels, more than the {limit} allowed; "
            "make it smaller"
        )


def _rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """RGB of any mode, on the background where it is transparent."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        rgb = Image.fromarray(_grey(image)).convert("RGB")
        clear = image.info.get("transparency")
        if isinstance(clear, int):  # one grey of a 16-bit PNG stands for "nothing here"
            rgb.paste(background, mask=Image.fromarray(np.asarray(image) == clear))
        return rgb
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        rgb = Image.new("RGB", image.size, background)
        rgb.paste(rgba, mask=rgba.getchannel("A"))
        return rgb
    if image.mode == "RGB" and isinstance(image, _LIGHT):
        return image  # a copy would cost a third of a JPEG's decoding
    return image.convert("RGB")


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    """`[H, W]` 8-bit grey of a deeper one."""
    values: NDArray[Any] = np.asarray(image)
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else image.info.get("tiff", {})
    if image.mode.startswith("I;16"):
        bits = tags.get(Tag.BitsPerSample, (16,))[0]
        white = (1 << bits) - 1
        # a table of all values, v * 255 / white rounded to nearest in whole numbers
        levels = (np.arange(1 << 16) * 255 + white // 2) // white
        grey = levels.clip(0, 255).astype(np.uint8)[values]
    else:
        finite = np.isfinite(values)
        known = values[finite]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        span = high - low or 1.0
        grey = np.zeros(values.shape, np.uint8)
        grey[finite] = np.rint((known.astype(np.float64) - low) * (255 / span))
    if tags.get(Tag.PhotometricInterpretation) == 0:  # white is zero; Pillow inverts 8 bits only
        grey = 255 - grey
    return np.asarray(grey, dtype=np.uint8)


def _turn(image: Image.Image) -> Transpose | None:
    """The turn that makes it upright, by the camera's EXIF; None where that block is broken.

    Pillow has turned a TIFF already, and then reports no orientation any more.
    """
    try:
        return _TURNS.get(image.getexif().get(Tag.Orientation, 1))
    except _DAMAGE:
        return None
