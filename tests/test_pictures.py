"""Pictures of real life: why one is refused, what deep samples mean, and what is remarked."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from handful.contracts import ImageRef
from handful.data import _jpeg, decode, reading
from handful.errors import ImageError, InputError
from pictures import chunk, encoded, png16, tiff, with_chunk

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

H, W = 32, 40
_RAMP = np.add.outer(np.arange(H) * 3, np.arange(W) * 3)
GREY = np.clip(_RAMP + np.random.default_rng(0).integers(0, 40, (H, W)), 0, 255).astype(np.uint8)
COLOURS = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)
PICTURE = Image.fromarray(COLOURS)


def levels(data: object) -> np.ndarray:
    return np.asarray(decode(ImageRef.of(data, "x"))).astype(int)


def remarks(data: object) -> list[str]:
    found: list[str] = []
    decode(ImageRef.of(data, "x"), note=found.append)
    return found


def refusal(data: bytes, name: str = "x.jpg") -> str:
    with pytest.raises(ImageError) as caught:
        decode(ImageRef.of(data, name))
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    return message


# ---------------------------------------------------------------------- why a file is refused

OTHER_FILES = {
    "is a WAV sound, not a picture": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0",
    "is an MP3 sound, not a picture": b"ID3\x04\0\0\0\0\0\x23TSSE",
    "is an MP3 or AAC sound": b"\xff\xfb\x90\x64\0\0\0\0",
    "is a FLAC sound": b"fLaC\0\0\0\x22",
    "is an Ogg sound or video": b"OggS\0\x02",
    "is an AIFF sound": b"FORM\0\0\0\x20AIFFCOMM",
    "is an MPEG-4 sound": b"\0\0\0\x20ftypM4A \0\0\0\0",
    "is an MPEG-4 or QuickTime video": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2",
    "QuickTime video, not a picture": b"\0\0\0\x14ftypqt  \0\0\2\0qt  ",
    "is an AVI video, not a picture; save frames of it": b"RIFF\x24\0\0\0AVI LIST",
    "is a Matroska or WebM video": b"\x1aE\xdf\xa3\x01\0\0\0",
    "is a PDF, not an image": b"%PDF-1.7\n\xe2\xe3",
    "is an HTML page, not an image": b"\n<!DOCTYPE html>\n<html><head>",
    "is a Git LFS pointer, not the image itself; fetch the image with git lfs pull": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:"
    ),
    "is an SVG drawing, which is not read": b'<?xml version="1.0"?>\n<svg xmlns="">',
    "is a ZIP archive or an office document, not a picture; unpack it": b"PK\x03\x04\x14\0\0\0",
    "is a gzip archive": b"\x1f\x8b\x08\0",
    "is a RAR archive": b"Rar!\x1a\x07\x01\0",
    "is a tar archive": b"photos/a.jpg".ljust(257, b"\0") + b"ustar\x0000",
    "holds a Mac's notes on a file, not the picture": b"\0\5\x16\7\0\2\0\0Mac OS X",
    "is a HEIC photo, which is not read; export it as JPEG": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "is a JPEG XL picture": b"\xff\x0a\xfa\x1f",
    "is a Photoshop document": b"8BPS\0\x01",
    "is a camera's RAW file, of which at most the thumbnail": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "RAW file, of which at most the thumbnail could be read; export": b"FUJIFILMCCD-RAW 0201",
}


@pytest.mark.parametrize("told", OTHER_FILES)
def test_a_sound_file_of_another_kind_is_called_what_it_is(told: str) -> None:
    message = refusal(OTHER_FILES[told].ljust(600, b"\1"))
    assert told in message
    assert "damaged" not in message


@pytest.mark.parametrize(
    ("samples", "more", "told"),
    [
        (np.zeros((4, 4, 13), np.uint16), {}, "has 13 bands; export three of them as RGB"),
        (np.zeros((4, 4, 5), np.uint8), {262: (3, [1])}, "has 5 bands; export three of them"),
        (np.zeros((4, 4, 3), np.float32), {}, "a TIFF of 3 x 32-bit floats is not read; export"),
        (np.zeros((4, 4), np.float64), {}, "a TIFF of 64-bit floats is not read; export it as 8-"),
        (
            np.zeros((4, 4, 2), np.uint16),
            {338: (3, [2])},
            "a TIFF of 2 x 16-bit samples is not read; export one of its bands as grey",
        ),
        (
            np.zeros((4, 4, 2), np.uint8),
            {},
            "a TIFF of 2 x 8-bit samples is not read; export one of its bands as grey",
        ),
        (np.zeros((4, 4), np.uint16), {262: (3, [32803])}, "is a camera's RAW file"),
        (np.zeros((4, 4, 3), np.uint8), {50706: (1, [1, 4, 0, 0])}, "is a camera's RAW file"),
        (np.zeros((4, 4, 3), np.uint16), {284: (3, [2])}, "each stored for itself, is not read"),
    ],
)
def test_a_tiff_that_cannot_be_read_says_what_it_holds(samples, more, told, capfd) -> None:
    message = refusal(tiff(samples, more))
    assert told in message
    assert "damaged" not in message
    assert capfd.readouterr() == ("", "")  # Pillow has a line of its own for many bands


def test_a_raw_file_is_known_by_the_sensor_data_beside_its_thumbnail() -> None:
    thumbnail = tiff(COLOURS, {330: (4, [0])}, [{262: (3, [32803])}])
    # the second directory is a page here; as NEF and ARW have it, tag 330 leads to it
    (first,) = struct.unpack_from("<I", thumbnail, 4)
    count = struct.unpack_from("<H", thumbnail, first)[0]
    (second,) = struct.unpack_from("<I", thumbnail, first + 2 + 12 * count)
    data = bytearray(thumbnail)
    data[first + 2 + 12 * count :][:4] = bytes(4)
    entry = next(
        at
        for at in range(first + 2, first + 2 + 12 * count, 12)
        if struct.unpack_from("<H", data, at)[0] == 330
    )
    data[entry + 8 : entry + 12] = struct.pack("<I", second)
    assert "is a camera's RAW file" in refusal(bytes(data))


# -------------------------------------------------------------- PNG with much beside the picture


@pytest.mark.parametrize(
    ("name", "body"),
    [
        (b"zTXt", b"workflow\0\0" + zlib.compress(bytes(2 << 20))),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2 << 20))),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b" " * (2 << 20)),
        (b"iCCP", b"scanner\0\0" + zlib.compress(bytes(2 << 20))),
        (b"tEXt", b"prompt\0" + b"x" * (2 << 20)),
        (b"prVt", bytes(2 << 20)),
    ],
)
def test_a_large_profile_or_text_of_a_png_does_not_matter(name: bytes, body: bytes) -> None:
    data = with_chunk(encoded(PICTURE, "PNG"), name, body)
    assert (levels(data) == COLOURS).all()
    assert remarks(data) == []


def test_a_damaged_text_of_a_png_does_not_matter_and_a_damaged_picture_does() -> None:
    good = encoded(PICTURE, "PNG")
    text = bytearray(chunk(b"tEXt", b"Comment\0hello"))
    text[-1] ^= 1
    assert (levels(good[:33] + bytes(text) + good[33:]) == COLOURS).all()
    at = good.index(b"IDAT") + 40
    assert "a checksum does not match" in refusal(good[:at] + b"\0" + good[at + 1 :])


def test_the_orientation_in_a_text_of_a_png_still_counts() -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for body in (b"\0\0\0\0\0" + xmp, b"\0\1\0\0\0" + zlib.compress(xmp)):
        data = with_chunk(encoded(PICTURE, "PNG"), b"iTXt", b"XML:com.adobe.xmp" + body)
        assert (levels(data) == np.rot90(COLOURS, -1)).all()


# ---------------------------------------------------------------------- deep samples

BITS12 = "uses 12 of 16 bits; taken as 12-bit"


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_12_bits_in_a_16_bit_file_keep_their_contrast(kind: str) -> None:
    data = encoded(Image.fromarray(GREY.astype(np.uint16) * 16), kind)
    found = levels(data)
    assert np.abs(found[..., 0] - GREY).max() <= 1
    assert remarks(data) == [BITS12]


@pytest.mark.parametrize(
    ("top", "bits"), [(255, 8), (256, 12), (4095, 12), (4096, 14), (16383, 14)]
)
def test_the_least_depth_that_holds_the_picture_is_its_depth(top: int, bits: int) -> None:
    samples = np.array([[0, top, top // 2]], np.uint16)
    white = (1 << bits) - 1
    data = encoded(Image.fromarray(samples), "TIFF")
    assert levels(data)[0, :, 0].tolist() == [
        0,
        round(top * 255 / white),
        round(top // 2 * 255 / white),
    ]
    assert remarks(data) == [f"uses {bits} of 16 bits; taken as {bits}-bit"]


def test_a_picture_that_uses_15_bits_or_more_is_scaled_as_before() -> None:
    samples = np.array([[0, 16384, 128, 129]], np.uint16)
    data = encoded(Image.fromarray(samples), "PNG")
    assert levels(data)[0, :, 0].tolist() == [0, 64, 0, 1]
    assert remarks(data) == []


@pytest.mark.parametrize("write", [png16, tiff])
@pytest.mark.parametrize("bands", [3, 4])
def test_deep_colours_keep_their_contrast_too(write, bands: int) -> None:
    samples = np.concatenate([COLOURS, np.full((H, W, 1), 255, np.uint8)], axis=2)[..., :bands]
    deep = samples.astype(np.uint16) * 16
    deep[..., 3:] = 65535  # alpha
    more = {338: (3, [2])} if bands == 4 else {}
    data = write(deep, more) if write is tiff else write(deep)
    assert np.abs(levels(data) - COLOURS).max() <= 1
    assert remarks(data) == [BITS12]


def test_reflectance_of_a_satellite_is_not_black() -> None:
    samples = (COLOURS.astype(np.uint32) * 1140 // COLOURS.max()).astype(np.uint16)
    found = levels(tiff(samples))
    assert np.abs(found - samples * (255 / 4095)).max() <= 0.5
    assert found.max() == 71  # it was 4


def test_colours_of_16_bits_are_what_they_were() -> None:
    for data in (png16(COLOURS.astype(np.uint16) * 257), tiff(COLOURS.astype(np.uint16) * 257)):
        assert (levels(data) == COLOURS).all()
        assert remarks(data) == []


def test_the_significant_bits_of_a_png_are_what_its_depth_is() -> None:
    raw = with_chunk(
        encoded(Image.fromarray(GREY.astype(np.uint16) * 4 + 1), "PNG"), b"sBIT", b"\x0a"
    )
    assert np.abs(levels(raw)[..., 0] - GREY).max() <= 1
    assert remarks(raw) == []  # it is no guess
    full = with_chunk(
        encoded(Image.fromarray(np.array([[0, 4000]], np.uint16)), "PNG"), b"sBIT", b"\x10"
    )
    assert levels(full)[0, :, 0].tolist() == [0, 16]
    # the standard has the significant bits at the top: 12 bits, shifted up by 4, of a dark picture
    dark = with_chunk(
        encoded(Image.fromarray(np.array([[0, 4080]], np.uint16)), "PNG"), b"sBIT", b"\x0c"
    )
    assert levels(dark)[0, :, 0].tolist() == [0, 16]
    colours = with_chunk(png16(COLOURS.astype(np.uint16) * 16 + 1), b"sBIT", b"\x0c\x0c\x0c")
    assert np.abs(levels(colours) - COLOURS).max() <= 1


def test_the_range_that_a_tiff_states_is_its_black_and_white() -> None:
    stated = {340: (3, [100]), 341: (3, [1100])}
    data = tiff(np.array([[50, 100, 600, 1100, 3000]], np.uint16), stated)
    assert levels(data)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert remarks(data) == []
    real = tiff(np.array([[-1, 0, 0.5, 1, 2]], np.float32), {340: (11, [0.0]), 341: (11, [1.0])})
    assert levels(real)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_no_data_that_a_tiff_states_takes_no_part() -> None:
    real = GREY.astype(np.float32)
    real[:8] = -9999
    data = tiff(real, {42113: (2, b"-9999")})
    low, high = int(GREY[8:].min()), int(GREY[8:].max())
    assert (
        np.abs(levels(data)[8:, :, 0] - (GREY[8:].astype(int) - low) * 255 / (high - low)).max() < 1
    )
    assert (levels(data)[:8] == 0).all()
    assert remarks(data) == []
    whole = GREY.astype(np.uint16) * 16
    whole[0] = 65535
    data = tiff(whole, {42113: (2, b"65535 ")})
    assert np.abs(levels(data)[1:, :, 0] - GREY[1:]).max() <= 1
    assert (levels(data)[0] == 0).all()
    nothing = tiff(np.array([[1, 2, np.nan, 4]], np.float32), {42113: (2, b"nan")})
    assert levels(nothing)[0, :, 0].tolist() == [0, 85, 0, 255]


def test_one_value_far_from_all_others_is_no_data() -> None:
    real = GREY.astype(np.float32)
    real[0, 0] = -9999
    data = encoded(Image.fromarray(real), "TIFF")
    found, wanted = levels(data)[..., 0], GREY.astype(int)
    low, high = wanted.ravel()[1:].min(), wanted.ravel()[1:].max()
    assert np.abs(found.ravel()[1:] - (wanted.ravel()[1:] - low) * 255 / (high - low)).max() < 1
    assert found[0, 0] == 0
    assert remarks(data) == ["one value far from all others is taken for no data"]
    real[0, 1] = 3.4028234663852886e38
    assert levels(encoded(Image.fromarray(real), "TIFF"))[4:].std() > 40
    wide = np.array([[0, 500, 1000, 5000]], np.float32)  # far, but not so far
    assert remarks(encoded(Image.fromarray(wide), "TIFF")) == []


def test_a_deep_picture_that_is_nearly_one_colour_is_remarked() -> None:
    flat = np.full((4, 4), 30000, np.uint16)
    flat[0] += 300
    assert remarks(encoded(Image.fromarray(flat), "PNG")) == [
        "is nearly one colour: fewer than 8 of its 256 levels are used"
    ]


@pytest.mark.parametrize("other", [GREY.astype(np.uint16) * 16, GREY.astype(np.uint16) * 257])
def test_a_picture_does_not_depend_on_what_is_read_with_it(other: np.ndarray) -> None:
    data = encoded(Image.fromarray((GREY // 2).astype(np.uint16) * 16), "PNG")
    alone = levels(data)
    levels(encoded(Image.fromarray(other), "PNG"))
    assert (levels(data) == alone).all()


def test_a_pil_image_of_a_deep_tiff_is_what_its_file_is() -> None:
    import io

    for more in ({42113: (2, b"7")}, {340: (3, [9]), 341: (3, [99])}, {262: (3, [0])}):
        data = tiff(GREY.astype(np.uint16), more)
        with Image.open(io.BytesIO(data)) as image:
            assert (levels(image) == levels(data)).all()


# ---------------------------------------------------------------------- what is remarked


def test_a_fourth_band_without_meaning_is_not_transparency() -> None:
    four = np.concatenate([COLOURS, np.full((H, W, 1), 10, np.uint8)], axis=2)
    data = tiff(four)
    assert (levels(data) == COLOURS).all()
    assert remarks(data) == ["has a fourth band of unstated meaning, which is left out"]
    assert (levels(tiff(four, {338: (3, [0])})) == COLOURS).all()
    assert levels(tiff(four, {338: (3, [2])})).mean() > 230
    deep = tiff(four.astype(np.uint16) * 257)
    assert (levels(deep) == COLOURS).all()


def test_further_pages_are_remarked_and_smaller_copies_are_not() -> None:
    more = "has further pages, which are left out"
    assert remarks(tiff(GREY, pages=[{}])) == [more]
    assert remarks(tiff(GREY, pages=[{254: (4, [1])}])) == []
    assert (levels(tiff(GREY, pages=[{}, {}]))[..., 0] == GREY).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "AVIF"])
def test_an_animation_is_remarked(kind: str) -> None:
    frames = {"save_all": True, "append_images": [PICTURE.rotate(180)]}
    assert remarks(encoded(PICTURE, kind, **frames)) == [
        "is an animation, of which the first frame is read"
    ]
    assert remarks(encoded(PICTURE, kind)) == []


def test_transparency_is_remarked_where_there_is_some() -> None:
    clear = PICTURE.convert("RGBA")
    assert remarks(encoded(clear, "PNG")) == []
    clear.putpixel((0, 0), (0, 0, 0, 0))
    assert remarks(encoded(clear, "PNG")) == [
        "has transparent parts, which are laid on a plain background"
    ]


# ---------------------------------------------------------------------- a JPEG without its end

JPEGS = {
    "baseline": encoded(PICTURE, "JPEG", quality=90),
    "fine": encoded(PICTURE, "JPEG", quality=98, subsampling=0),
    "progressive": encoded(PICTURE, "JPEG", quality=90, progressive=True),
    "grey": encoded(Image.fromarray(GREY), "JPEG"),
    "restarts": encoded(PICTURE, "JPEG", restart_marker_rows=1),
    "flat": encoded(Image.new("RGB", (W, H), (9, 99, 199)), "JPEG"),
}
ENDLESS = "lacks its end marker; all of its picture is there"


@pytest.mark.parametrize("kind", [k for k in JPEGS if k != "flat"])
@pytest.mark.parametrize("rest", [b"", b"\xff", bytes(100), b"\xff\xff"])
def test_a_jpeg_that_lacks_its_end_marker_alone_is_used(kind: str, rest: bytes) -> None:
    data = JPEGS[kind]
    assert data.endswith(b"\xff\xd9")
    assert (levels(data[:-2] + rest) == levels(data)).all()
    if len(rest) < 3:  # else libjpeg finds what it looks for before the bytes end
        assert remarks(data[:-2] + rest) == [ENDLESS]


@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_that_lacks_picture_data_is_refused_or_whole(kind: str) -> None:
    data = JPEGS[kind][:-2]
    whole = levels(JPEGS[kind])
    refused = 0
    for lost in (*range(1, 40), 100, 200):
        try:
            found = levels(data[:-lost])
        except ImageError:
            refused += 1
        else:  # the lost bits were padding
            assert lost == 1
            assert (found == whole).all()
    assert refused >= 40


def test_a_jpeg_that_ends_in_something_else_is_not_called_complete() -> None:
    for data in JPEGS.values():
        cut = data[: len(data) * 3 // 4]
        noise = np.random.default_rng(1).integers(1, 255, 4000, np.uint8).tobytes()
        assert _jpeg.completed(data[:-2] + noise) is None
        assert _jpeg.completed(cut + noise) is None
        assert _jpeg.completed(cut + bytes(4000)) is None


def _jpeg_of(picture: np.ndarray, **options: object) -> bytes:
    return encoded(Image.fromarray(picture), "JPEG", quality=85, **options)


_PHOTO = np.clip(
    np.add.outer(np.arange(160), np.arange(200))[..., None] // 2
    + np.random.default_rng(1).integers(0, 60, (160, 200, 3)),
    0,
    255,
).astype(np.uint8)
_KINDS = ({}, {"optimize": True}, {"progressive": True})


@pytest.mark.parametrize("options", _KINDS)
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_jpeg_whose_rest_is_zeros_is_refused(options, end: bytes, share: float) -> None:
    data = _jpeg_of(_PHOTO, **options)
    start = data.index(b"\xff\xda") + 14
    kept = start + int(share * (len(data) - start))
    broken = data[:kept] + bytes(len(data) - kept - len(end)) + end
    assert "damaged or cut short" in refusal(broken)


def test_a_jpeg_with_zeros_in_its_middle_is_refused_with_the_reason() -> None:
    data = _jpeg_of(_PHOTO)
    middle = len(data) // 2
    told = "zeros stand where picture data should, as a broken card leaves it"
    assert told in refusal(data[:middle] + bytes(512) + data[middle + 512 :])


@pytest.mark.parametrize("options", _KINDS)
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_zeros_of_which_a_sound_jpeg_is_made_do_not_matter(options, mode: str) -> None:
    plain = {each: np.full((1000, 1000, 3), each, np.uint8) for each in (0, 128, 255)}
    framed = np.zeros((1000, 1000, 3), np.uint8)
    framed[400:560, 400:600] = _PHOTO
    found = []
    for picture in (*plain.values(), framed):
        grey = picture[..., 0] if mode == "L" else picture
        found.append(_jpeg_of(grey, **options))
        assert np.abs(levels(found[-1]) - picture)[:300].max() <= 2
    assert (bytes(64) in found[0]) == bool(options)  # else this shows nothing
    assert (bytes(64) in found[-1]) == bool(options)


def test_zeros_behind_a_jpeg_do_not_matter() -> None:
    data = _jpeg_of(_PHOTO)
    assert (levels(data + bytes(4096)) == levels(data)).all()
    assert (levels(data[:-2] + bytes(4096)) == levels(data)).all()


ONE_COLOUR = "is one colour: all of its pixels are equal"


def test_a_picture_of_one_colour_is_remarked() -> None:
    black = Image.new("RGB", (50, 40))
    for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WebP"):
        assert remarks(encoded(black, kind)) == [ONE_COLOUR]
    assert remarks(encoded(Image.new("L", (1, 1), 7), "PNG")) == [ONE_COLOUR]
    assert remarks(encoded(Image.new("I;16", (9, 9), 30000), "PNG")) == [ONE_COLOUR]
    assert remarks(np.zeros((4, 4, 3), np.uint8)) == [ONE_COLOUR]
    black.putpixel((31, 17), (0, 0, 1))
    assert remarks(encoded(black, "PNG")) == []


def test_a_picture_without_any_number_is_refused() -> None:
    for nothing in (np.nan, np.inf):
        message = refusal(tiff(np.full((4, 4), nothing, np.float32)), "x.tif")
        assert message.startswith("x.tif: holds no numbers: every pixel is NaN")
    stated = {42113: (2, b"-9999")}
    assert "holds no numbers" in refusal(tiff(np.full((4, 4), -9999, np.float32), stated))
    one = np.full((4, 4), np.nan, np.float32)
    one[1, 1] = 3
    assert levels(tiff(one)).shape == (4, 4, 3)


def test_a_progressive_jpeg_without_its_last_scans_is_refused() -> None:
    data = JPEGS["progressive"]
    scans = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]
    tables = [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xc4"]
    assert len(scans) > 5
    for at in scans[1:]:
        start = max([at, *(t for t in tables if scans[0] < t < at)][-1:])
        assert "damaged or cut short" in refusal(data[:start])


# ---------------------------------------------------------------------- AVIF, and how large


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_read_and_turned_once(orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PICTURE, "AVIF", quality=95, subsampling="4:4:4", exif=exif)
    wanted = PICTURE.copy()
    wanted.getexif()[0x0112] = orientation
    wanted = np.asarray(ImageOps.exif_transpose(wanted)).astype(int)
    assert levels(data).shape == wanted.shape
    assert np.abs(levels(data) - wanted).mean() < 4


def test_avif_is_refused_by_its_header_where_it_is_too_large() -> None:
    with pytest.raises(ImageError, match="40 x 32 pixels, more than the 1279 allowed"):
        decode(ImageRef.of(encoded(PICTURE, "AVIF"), "x"), max_pixels=H * W - 1)


def test_the_limit_of_pixels_holds_within_its_with(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ImageRef.of(encoded(PICTURE, "PNG"), "x.png")
    with reading(max_pixels=100):
        with pytest.raises(ImageError, match=r"more than the 100 allowed.*--max-pixels"):
            decode(data)
        with reading(max_pixels=10_000):
            decode(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # a program's own, for all of Pillow
    with pytest.raises(ImageError, match="more than the 100 allowed"):
        decode(data)
    with reading(max_pixels=10_000):  # who says a number here means it
        decode(data)
    with pytest.raises(InputError, match="max_pixels: expected"), reading(max_pixels=0):
        pass


def test_remarks_are_gathered_with_the_photos_they_are_about() -> None:
    deep = encoded(Image.fromarray(GREY.astype(np.uint16) * 16), "PNG")
    with reading() as notes:
        for name in ("a.png", "b.png", "c.png"):
            decode(ImageRef.of(deep, name))
        decode(ImageRef.of(tiff(GREY, pages=[{}]), "d.tif"))
    assert notes.lines() == [
        "d.tif: has further pages, which are left out",
        f"3 photos, first a.png: {BITS12}",
    ]


def test_a_file_without_any_name_is_read_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(encoded(PICTURE, "AVIF"))
    assert levels(tmp_path / "photo").shape == (H, W, 3)
