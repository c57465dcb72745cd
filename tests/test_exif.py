"""EXIF: time, camera and place of a photo, and nothing from a broken block."""

from datetime import datetime
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from PIL.TiffImagePlugin import IFDRational

from handful.contracts import ImageRef
from handful.data.exif import Exif, read_exif

BURST = Path(__file__).parents[2] / "shared/data/camera_traps/camtrap_dp_burst"


def photo(kind: str = "JPEG", **facts: object) -> bytes:
    exif = Image.Exif()
    exif[Base.Make] = "Reconyx"
    exif[Base.Model] = "HF2X"
    details = exif.get_ifd(IFD.Exif)
    details[Base.DateTimeOriginal] = facts.get("time", "2026:05:04 02:03:01")
    details[Base.SubsecTimeOriginal] = "25"
    details[Base.BodySerialNumber] = "H500\0"
    where = exif.get_ifd(IFD.GPSInfo)
    where[GPS.GPSLatitudeRef] = "S"
    where[GPS.GPSLatitude] = facts.get("latitude", (12.0, 30.0, 36.0))
    where[GPS.GPSLongitudeRef] = "E"
    where[GPS.GPSLongitude] = (5.0, 0.0, 0.0)
    target = BytesIO()
    Image.new("RGB", (8, 8)).save(target, kind, exif=exif)
    return target.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WebP"])
def test_facts(kind: str) -> None:
    found = read_exif(ImageRef.of(photo(kind)))
    assert found.time == datetime(2026, 5, 4, 2, 3, 1, 250000)
    assert found.camera == "Reconyx HF2X H500"
    assert found.latitude == pytest.approx(-12.51)
    assert found.longitude == 5


def test_a_clock_that_was_never_set_and_a_place_without_a_fix() -> None:
    no_fix = (IFDRational(0, 0),) * 3  # NaN, as cameras write it
    found = read_exif(ImageRef.of(photo(time="0000:00:00 00:00:00", latitude=no_fix)))
    assert found.time is None
    assert found.latitude is None
    assert found.camera == "Reconyx HF2X H500"


@pytest.mark.parametrize(
    "data", [b"", b"no image", photo()[:80], b"\xff\xd8\xff\xe1\x00\x10Exif\0\0MM"]
)
def test_broken_blocks_say_nothing(data: bytes) -> None:
    assert read_exif(ImageRef.of(data)) == Exif()


def test_a_missing_file_says_nothing(tmp_path: Path) -> None:
    assert read_exif(ImageRef.of(tmp_path / "none.jpg")) == Exif()


@pytest.mark.skipif(not BURST.exists(), reason="real data are not here")
def test_a_real_burst_took_seven_seconds() -> None:
    times = [read_exif(ImageRef.of(p)).time for p in sorted(BURST.rglob("*.JPG"))]
    known = [t for t in times if t]
    assert len(known) == len(times) > 5
    assert (max(known) - min(known)).total_seconds() < 10
