"""What the tags of a TIFF say before Pillow is asked: bands, bits, pages, no-data and range."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL.ExifTags import Base as Tag
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from handful.data._file_kinds import RAW
from handful.data._levels import Meaning

RGB, CMYK = 2, 5  # values of PhotometricInterpretation
_SENSOR = (32803, 34892)  # a colour filter array, and "linear raw", of DNG and its like
_NO_PICTURE = 1 | 4  # in NewSubfileType: a smaller copy, or a mask
_MOST_PAGES = 64  # looked at
_FORMS = {2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex numbers"}
SAMPLE_MIN, SAMPLE_MAX, NO_DATA, _DNG = 340, 341, 42113, 50706
_DECISIVE = (Tag.BitsPerSample, Tag.SampleFormat, SAMPLE_MIN, SAMPLE_MAX, NO_DATA)
_VALUE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8}
_MALFORMED = (OSError, SyntaxError, ValueError, TypeError, LookupError, struct.error, EOFError)


@dataclass(frozen=True)
class Layout:
    """What the first page holds, and what lies beside it.

    Args:
        bands: samples a pixel.
        bits: of a sample, the most of all bands.
        form: SampleFormat: 1 whole numbers, 2 signed ones, 3 floats.
        photometric: PhotometricInterpretation; None where it is not stated.
        extra: ExtraSamples, what the bands beyond the colours mean.
        planes: whether each band is stored for itself.
        is_packed: whether the samples are compressed.
        low, high: the values that the file calls black and white; None where it does not.
        no_data: the value of pixels that hold nothing; None where it is not stated.
        is_raw: whether it is a camera's RAW file.
        has_pages: whether further pictures follow.
    """

    bands: int
    bits: int
    form: int
    photometric: int | None
    extra: tuple[int, ...]
    planes: bool
    is_packed: bool
    low: float | None
    high: float | None
    no_data: float | None
    is_raw: bool
    has_pages: bool

    def meaning(self) -> Meaning:
        """What the file says of its samples."""
        return Meaning(
            bits=self.bits,
            low=self.low,
            high=self.high,
            no_data=self.no_data,
            white_is_zero=self.photometric == 0,
        )

    @property
    def has_unnamed_band(self) -> bool:
        """Whether a fourth band beside three colours is said to be nothing: near infrared, say."""
        return self.photometric == RGB and self.bands == 4 and not self.extra

    def refusal(self) -> str | None:
        """Why Pillow cannot read it, known before Pillow prints a line of its own; else None."""
        if self.is_raw:
            return RAW
        if self.bands > 6 or (self.bands > 4 and self.photometric not in (RGB, CMYK)):
            return f"has {self.bands} bands; export three of them as RGB"
        if self.planes and self.bands > 1 and self.bits > 8 and not self.is_packed:
            return (  # Pillow would read bytes of samples as samples, without a word
                f"a TIFF of {self.bands} bands of {self.bits} bits, each stored for itself, is "
                "not read; export it with the bands of a pixel together (PlanarConfiguration 1)"
            )
        return None

    def unread(self) -> str:
        """For a layout that Pillow turned out not to know."""
        times = f"{self.bands} x " if self.bands > 1 else ""
        form = _FORMS.get(self.form, "samples")
        cure = "export it as 8- or 16-bit"
        if self.bands == 2:
            cure = "export one of its bands as grey"
        elif self.form == 1 and self.bits in (8, 16):
            cure = "export it as grey or RGB"
        return f"a TIFF of {times}{self.bits}-bit {form} is not read; {cure}"


def layout(data: bytes) -> Layout | None:
    """By the tags alone; None where they cannot be read, for Pillow has the better message."""
    try:
        pages = list(_pages(data))
        tags = pages[0]
        return Layout(
            bands=int(tags.get(Tag.SamplesPerPixel, 1)),
            bits=max(tags.get(Tag.BitsPerSample, (1,))),
            form=int(tags.get(Tag.SampleFormat, (1,))[0]),
            photometric=tags.get(Tag.PhotometricInterpretation),
            extra=tuple(tags.get(Tag.ExtraSamples, ())),
            planes=tags.get(Tag.PlanarConfiguration) == 2,
            is_packed=tags.get(Tag.Compression, 1) != 1,
            low=number(tags, SAMPLE_MIN, min),
            high=number(tags, SAMPLE_MAX, max),
            no_data=number(tags, NO_DATA, min),
            is_raw=_is_raw(data, tags),
            has_pages=any(not page.get(Tag.NewSubfileType, 0) & _NO_PICTURE for page in pages[1:]),
        )
    except _MALFORMED:
        return None


def check_directory(data: bytes) -> None:
    """Refuse a file that ends within its first list of tags; Pillow would do without the rest.

    Raises:
        ValueError: the list, or a value that decides how samples look, is not all there.
    """
    big = data[2:3] == b"+" or data[3:4] == b"+"
    order = "<" if data[:1] == b"I" else ">"
    start, entry, offset = (8, 20, "Q") if big else (4, 12, "I")
    try:
        (at,) = struct.unpack_from(f"{order}{offset}", data, start)
        (count,) = struct.unpack_from(f"{order}{'Q' if big else 'H'}", data, at)
        at += 8 if big else 2
        for place in range(at, at + entry * count, entry):
            tag, kind, many, value = struct.unpack_from(f"{order}HH{2 * offset}", data, place)
            size = many * _VALUE_BYTES.get(kind, 1)
            if tag in _DECISIVE and size > struct.calcsize(offset) and value + size > len(data):
                break
        else:
            return
    except struct.error:
        pass
    raise ValueError("its list of tags is cut short")


def _pages(data: bytes) -> Iterator[Any]:
    """The tags of each page; broken ones after the first end the list."""
    head = data[:16] if data[2:3] == b"+" or data[3:4] == b"+" else data[:8]
    file = BytesIO(data)
    tags = ImageFileDirectory_v2(head)
    seen: set[int] = set()
    while tags.next and tags.next not in seen and len(seen) < _MOST_PAGES:
        seen.add(tags.next)
        try:
            page = _load(head, file, tags.next)
        except _MALFORMED:
            if len(seen) == 1:
                raise
            return
        yield page
        tags = page


def _load(head: bytes, file: BytesIO, at: int) -> Any:
    tags = ImageFileDirectory_v2(head)
    file.seek(at)
    tags.load(file)
    return tags


def _is_raw(data: bytes, tags: Any) -> bool:
    if data[8:10] == b"CR" or _DNG in tags or tags.get(Tag.PhotometricInterpretation) in _SENSOR:
        return True
    head = data[:16] if data[2:3] == b"+" or data[3:4] == b"+" else data[:8]
    found = tags.get(Tag.SubIFDs, ())
    for at in (found if isinstance(found, tuple) else (found,))[:_MOST_PAGES]:
        with suppress(*_MALFORMED):
            inner = _load(head, BytesIO(data), at)
            if inner.get(Tag.PhotometricInterpretation) in _SENSOR:
                return True
    return False


def number(tags: Any, tag: int, best: Any) -> float | None:
    """A tag's number, of a text too; the least or greatest of several bands."""
    value = tags.get(tag)
    with suppress(*_MALFORMED):
        if isinstance(value, str):
            return float(value.strip("\0 "))
        if value is not None:
            return float(best(value) if isinstance(value, tuple) else value)
    return None
