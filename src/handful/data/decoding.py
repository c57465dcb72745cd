"""The safe decoder: an image file of an allowed kind to upright RGB, or an `ImageError`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from PIL import Image

from handful.contracts import ImageRef
from handful.data import _headers
from handful.data._dicom import read_dicom
from handful.data._file_kinds import describe_unknown
from handful.data._levels import EmptyPictureError
from handful.data._notes import Note
from handful.data._one_colour import ONE_COLOUR, is_one_colour
from handful.data._readers import READERS, read_jpeg
from handful.data._upright import MALFORMED, meaning_of, upright
from handful.data.reading import settings
from handful.errors import ImageError, InputError

VERSION = 2  # of the pixels that come out; in the key of every stored feature
WHITE = (255, 255, 255)


def decode(
    ref: ImageRef,
    *,
    max_pixels: int | None = None,
    background: tuple[int, int, int] = WHITE,
    note: Note | None = None,
    least: int | None = None,
) -> Image.Image:
    """One picture, upright, RGB, without its metadata; the first frame or page of several.

    Over 60 lines for the rules it states.

    JPEG (also MPO), PNG, WebP, AVIF, BMP, TIFF, GIF and, with the extra `dicom`, DICOM, recognised
    by their first bytes.

    - Unsigned samples of 12 and 16 bits are scaled so that white becomes 255, `v * 255 / white`.
      White is what the file says (sBIT, SMaxSampleValue), else the most that 8, 12, 14 or 16 bits
      hold, whichever is the least that holds the picture's largest sample.
    - Integers of 32 bits, signed ones and floats have no white; they go from their own lowest to
      their highest finite value. What the file calls no data (GDAL_NODATA) is left out of that and
      becomes black, and so is a single value far from all others.
    - Transparency is laid on `background`. CMYK is converted as Pillow does; ICC profiles are not
      applied, as in the published preprocessing of CLIP.
    - A picture that holds no number at all is refused; one of one colour is read, with a remark.
    - A file that ends early is refused, never half-read (unless a program sets Pillow's
      `LOAD_TRUNCATED_IMAGES`), and so is a PNG whose pixel data fails its checksum. A JPEG that
      lacks nothing but its end marker is read; one with zeros for picture data is refused.

    Whoever changes what pixels come out has to raise `VERSION`, by which stored features are found.

    Args:
        ref: the image; pixels pass through, a PIL image becomes what its file would, but for what
            Pillow has thrown away (the lower 8 bits of 16-bit colours).
        max_pixels: width x height beyond which a file is refused from its header, before memory is
            taken. Not given: that of `reading`, else 89,478,485 or Pillow's own
            `Image.MAX_IMAGE_PIXELS`, the smaller of the two.
        background: red, green and blue (0 to 255) behind transparent pixels.
        note: called with a remark, the same words for every picture of the kind, where something
            about a picture that is read may surprise; not given: that of `reading`.
        least: pixels of a side that are enough, for small pictures of large photos: a JPEG may come
            out at a half, quarter or eighth of its size (scaled inverse DCT of libjpeg), no side
            smaller than this; other kinds as they are. Not given: every pixel.

    Raises:
        ImageError: with the image's name, for every file that cannot be decoded safely.
        InputError: `max_pixels` or `background` cannot be meant.

    >>> import numpy as np
    >>> decode(ImageRef.of(np.zeros((2, 3, 3), np.uint8))).size
    (3, 2)
    """
    given = settings()
    limit = given.limit() if max_pixels is None else max_pixels
    remark = given.note_of(ref.name) if note is None else note
    if limit < 1 or len(background) != 3 or not all(0 <= c <= 255 for c in background):
        raise InputError(
            f"expected max_pixels above 0 and a background of 3 numbers from 0 to 255, "
            f"got {limit} and {background}"
        )
    picture = _picture(ref, limit, background, remark, least)
    if least is None and is_one_colour(picture):
        remark(ONE_COLOUR)
    return picture


def _picture(
    ref: ImageRef,
    limit: int,
    background: tuple[int, int, int],
    remark: Note,
    least: int | None,
) -> Image.Image:
    if ref.pixels is not None:
        return Image.fromarray(ref.pixels)
    if ref.image is not None:
        what = f"this PIL image of mode {ref.image.mode} cannot be made RGB ({{}})"
        with _image_errors(ref.name, what):
            return upright(ref.image, meaning_of(ref.image), background, remark)
    data = ref.content()
    kind = _headers.kind(data)
    if kind is None:
        raise ImageError(f"{ref.name}: {describe_unknown(data, ref.name)}")
    what = f"this {kind} file is damaged or cut short ({{}}); replace it by a sound copy"
    with _image_errors(ref.name, what):
        if kind == "DICOM":
            return read_dicom(ref.name, data, limit, remark)
        reader = partial(read_jpeg, least=least) if kind == "JPEG" else READERS[kind]
        read = reader(ref.name, data, limit, remark)
        return upright(read.image, read.meaning, background, remark)


@contextmanager
def _image_errors(name: str, message: str) -> Iterator[None]:
    """Whatever Pillow raises becomes an `ImageError` with `message`, `{}` in it being the cause."""
    try:
        yield
    except ImageError:
        raise
    except EmptyPictureError as error:
        raise ImageError(f"{name}: {error}") from error
    except MemoryError as error:
        raise ImageError(f"{name}: needs more memory than there is; make it smaller") from error
    except Image.DecompressionBombError as error:
        cause = f"is larger than Pillow reads ({error})"
        raise ImageError(f"{name}: {cause}; make it smaller") from error
    except MALFORMED as error:
        cause = str(error) or type(error).__name__
        raise ImageError(f"{name}: {message.format(cause)}") from error
