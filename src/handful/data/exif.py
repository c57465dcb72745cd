"""What a camera wrote into a photo: time, camera and place, by its EXIF block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BufferedReader, BytesIO
from typing import Any, BinaryIO

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from handful.contracts import ImageRef, image_file
from handful.errors import ImageError

# A block can be malformed in as many ways as a file can; it is no reason to refuse the photo.
_MALFORMED = (OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError)
_CAMERA = (Base.Make, Base.Model)
_DEGREES = (1.0, 60.0, 3600.0)


@dataclass(frozen=True)
class Exif:
    """Facts of one photo; None or "" where the camera did not write them.

    Args:
        time: when it was taken, by the camera's clock, without a time zone.
        camera: make, model and serial number, as far as they are there.
        latitude: degrees, north is positive.
        longitude: degrees, east is positive.
    """

    time: datetime | None = None
    camera: str = ""
    latitude: float | None = None
    longitude: float | None = None


def read_exif(ref: ImageRef) -> Exif:
    """The facts in a photo's EXIF block; an empty `Exif` for a photo without a sound one.

    Only the head of the file is decoded. Never raises because of what is in the file.
    """
    try:
        if ref.image is not None:
            return _facts(ref.image.getexif())
        if ref.pixels is not None:
            return Exif()
        with _opened(ref) as file, Image.open(file) as image:
            return _facts(image.getexif())
    except (ImageError, Image.DecompressionBombError, Warning, *_MALFORMED):
        return Exif()


@contextmanager
def _opened(ref: ImageRef) -> Iterator[BinaryIO]:
    """The file, of which little is read; a pipe or a device is refused, as by the decoder."""
    if ref.path is None:
        yield BytesIO(ref.content())
        return
    with image_file(ref.name, ref.path) as file:
        yield BufferedReader(file)


def _facts(tags: Image.Exif) -> Exif:
    details: Mapping[int, Any] = {}
    where: Mapping[int, Any] = {}
    with suppress(*_MALFORMED):
        details = tags.get_ifd(IFD.Exif)
    with suppress(*_MALFORMED):
        where = tags.get_ifd(IFD.GPSInfo)
    parts = [_text(tags.get(tag)) for tag in _CAMERA]
    if parts[0] and parts[1].casefold().startswith(parts[0].casefold()):
        parts = parts[1:]  # the model repeats the make
    parts.append(_text(details.get(Base.BodySerialNumber)))
    return Exif(
        _time(tags, details),
        " ".join(part for part in parts if part),
        _degrees(where.get(GPS.GPSLatitude), where.get(GPS.GPSLatitudeRef), "S", 90),
        _degrees(where.get(GPS.GPSLongitude), where.get(GPS.GPSLongitudeRef), "W", 180),
    )


def _time(tags: Mapping[int, Any], details: Mapping[int, Any]) -> datetime | None:
    stated = (details.get(Base.DateTimeOriginal), details.get(Base.DateTimeDigitized))
    for value in (*stated, tags.get(Base.DateTime)):
        with suppress(ValueError):
            found = datetime.strptime(_text(value)[:19], "%Y:%m:%d %H:%M:%S")
            return found + timedelta(seconds=_fraction(details.get(Base.SubsecTimeOriginal)))
    return None


def _fraction(value: Any) -> float:
    """`"25"` after the point of the seconds is 0.25."""
    digits = _text(value)
    return float(f"0.{digits}") if digits.isascii() and digits.isdigit() else 0.0


def _degrees(value: Any, side: Any, negative: str, most: float) -> float | None:
    """Degrees, minutes and seconds as one number; None where they are none."""
    try:
        degrees = sum(float(v) / by for v, by in zip(value, _DEGREES, strict=True))
    except (*_MALFORMED, ZeroDivisionError):
        return None
    if not 0 <= degrees <= most:  # also for NaN, which cameras write without a fix
        return None
    return -degrees if _text(side).upper() == negative else degrees


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("ascii", "ignore")
    return value.replace("\0", "").strip() if isinstance(value, str) else ""
