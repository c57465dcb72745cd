"""The decoder: right pixels from every kind of file, an ImageError from everything else."""

from __future__ import annotations

import os
import struct
import threading
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

import pictures
from handful.contracts import ImageRef
from handful.data import decode
from handful.errors import ImageError, InputError
from pictures import png16, with_chunk

# Pillow tells of odd metadata by warnings; they say nothing about the pixels.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

H, W = 40, 48
_noise = np.random.default_rng(0).integers(0, 9, (H, W, 3))
PIXELS = (np.add.outer(np.arange(H), np.arange(W))[:, :, None] * [2, 1, 3] % 247 + _noise).astype(
    np.uint8
)
PICTURE = Image.fromarray(PIXELS)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def rle_bmp() -> bytes:
    palette = b"".join(bytes([i * 16] * 3 + [0]) for i in range(16)) + bytes(4 * 240)
    body = bytes([4, 1, 4, 2, 0, 0]) * 8 + b"\0\1"
    start = 14 + 40 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 8, 1, len(body), 1, 1, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + header + palette + body


SAMPLES = {
    "avif": encoded(PICTURE, "AVIF", exif=turned(6)),
    "png deep": with_chunk(png16(PIXELS.astype(np.uint16) * 16), b"sBIT", b"\x0c\x0c\x0c"),
    "tiff deep": pictures.tiff(PIXELS.astype(np.uint16) * 16, pages=[{}]),
    "tiff float": pictures.tiff(PIXELS[:, :, 0].astype(np.float32), {42113: (2, b"-9999")}),
    "jpeg": encoded(PICTURE, "JPEG", quality=95),
    "jpeg progressive": encoded(PICTURE, "JPEG", progressive=True, exif=turned(6)),
    "jpeg cmyk": encoded(PICTURE.convert("CMYK"), "JPEG"),
    "mpo": encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE.rotate(180)]),
    "png": encoded(PICTURE, "PNG", exif=turned(8)),
    "png palette": encoded(PICTURE.quantize(16), "PNG", transparency=3),
    "png 16": encoded(Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257), "PNG"),
    "png animated": encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(180)]),
    "webp": encoded(PICTURE, "WEBP", exif=turned(3)),
    "webp lossless": encoded(PICTURE, "WEBP", lossless=True),
    "webp animated": encoded(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(180)]),
    "bmp": encoded(PICTURE, "BMP"),
    "bmp palette": encoded(PICTURE.quantize(16), "BMP"),
    "bmp run-length": rle_bmp(),
    "tiff": encoded(PICTURE, "TIFF", exif=turned(5)),
    "tiff lzw": encoded(PICTURE, "TIFF", compression="tiff_lzw"),
    "tiff jpeg": encoded(PICTURE, "TIFF", compression="jpeg"),
    "tiff 16": encoded(Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257), "TIFF"),
    "gif": encoded(PICTURE.quantize(64), "GIF"),
    "gif animated": encoded(
        PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(180)], transparency=3
    ),
}


def pixels(source: object, **options: object) -> np.ndarray:
    image = decode(ImageRef.of(source, "x"), **options)
    assert (image.mode, image.info, dict(image.getexif())) == ("RGB", {}, {})
    return np.asarray(image).astype(int)


def refusal(source: object, **options: object) -> str:
    with pytest.raises(ImageError) as caught:
        decode(ImageRef.of(source, "x.jpg"), **options)
    message = str(caught.value)
    assert message.startswith("x.jpg: ")
    return message


# ---------------------------------------------------------------------------- right pixels


@pytest.mark.parametrize("kind", ["png", "webp lossless", "bmp", "tiff", "tiff lzw"])
def test_lossless_files_come_back_exactly(kind: str) -> None:
    options = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}}
    if kind == "tiff lzw":
        assert (pixels(SAMPLES[kind]) == PIXELS).all()
    else:
        name = kind.split()[0].upper()
        assert (pixels(encoded(PICTURE, name, **options[name])) == PIXELS).all()


@pytest.mark.parametrize(
    ("kind", "tolerance"), [("jpeg", 4), ("mpo", 8), ("tiff jpeg", 8), ("gif animated", 12)]
)
def test_lossy_files_come_back_nearly(kind: str, tolerance: float) -> None:
    assert np.abs(pixels(SAMPLES[kind]) - PIXELS).mean() < tolerance


@pytest.mark.parametrize("kind", ["png animated", "webp animated", "gif animated", "mpo"])
def test_an_animation_is_its_first_frame(kind: str) -> None:
    found = pixels(SAMPLES[kind])
    assert np.abs(found - PIXELS).mean() < 0.3 * np.abs(found - PIXELS[::-1, ::-1]).mean()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_camera_s_orientation_is_applied_once(kind: str, orientation: int) -> None:
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
    data = encoded(PICTURE, kind, exif=turned(orientation), **options.get(kind, {}))
    expected = PICTURE.copy()
    expected.getexif()[0x0112] = orientation
    found = decode(ImageRef.of(data))
    wanted = np.asarray(ImageOps.exif_transpose(expected)).astype(int)
    assert found.size == wanted.shape[1::-1]
    assert np.abs(np.asarray(found) - wanted).mean() < 3
    assert ImageOps.exif_transpose(found).size == found.size  # a second reader turns nothing


def test_a_broken_exif_block_leaves_the_picture_as_it_lies() -> None:
    data = encoded(PICTURE, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f\xff\xff")
    assert pixels(data).shape == (H, W, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_by_what_16_bits_hold(kind: str) -> None:
    deep = np.array([[0, 128, 129, 257], [300, 32768, 65000, 65535]], dtype=np.uint16)
    found = pixels(encoded(Image.fromarray(deep), kind))
    assert found[:, :, 0].tolist() == [[0, 0, 1, 1], [1, 128, 253, 255]]
    assert (found == found[:, :, :1]).all()


def test_16_bit_and_8_bit_of_one_picture_agree() -> None:
    grey = PIXELS[:, :, 0]
    deep = pixels(SAMPLES["png 16"])
    assert (deep == pixels(encoded(Image.fromarray(grey), "PNG"))).all()


def tiff(values: bytes, size: tuple[int, int], bits: int, photometric: int, form: int = 1) -> bytes:
    """A minimal little-endian, uncompressed, one-strip grey TIFF."""
    entries = [
        (256, 3, size[0]),
        (257, 3, size[1]),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8),
        (277, 3, 1),
        (278, 3, size[1]),
        (279, 4, len(values)),
        (339, 3, form),
    ]
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, v) for tag, kind, v in entries)
    return (
        struct.pack("<2sHI", b"II", 42, 8 + len(values))
        + values
        + struct.pack("<H", len(entries))
        + packed
        + bytes(4)
    )


def test_12_bit_grey_is_scaled_by_what_12_bits_hold() -> None:
    packed = bytes([0xFF, 0xF8, 0x00])  # 4095 and 2048
    assert pixels(tiff(packed, (2, 1), 12, 1))[0, :, 0].tolist() == [255, 128]


def test_16_bit_grey_with_white_as_zero_is_inverted() -> None:
    values = np.array([0, 65535, 32768], "<u2").tobytes()
    assert pixels(tiff(values, (3, 1), 16, 0))[0, :, 0].tolist() == [255, 0, 127]


def test_integers_and_floats_are_scaled_by_their_own_range() -> None:
    wide = np.array([[-1000, 0, 1000]], dtype=np.int32)
    assert pixels(encoded(Image.fromarray(wide), "TIFF"))[0, :, 0].tolist() == [0, 128, 255]
    real = np.array([[np.nan, 0.25, 0.75, np.inf, 0.5]], dtype=np.float32)
    found = pixels(encoded(Image.fromarray(real), "TIFF"))[0, :, 0]
    assert found.tolist() == [0, 0, 255, 0, 128]
    flat = np.full((1, 2), 7.0, dtype=np.float32)
    assert pixels(encoded(Image.fromarray(flat), "TIFF"))[0, :, 0].tolist() == [0, 0]


def test_cmyk_and_adobe_s_inverted_cmyk_look_like_the_picture() -> None:
    expected = np.asarray(PICTURE.convert("CMYK").convert("RGB")).astype(int)
    assert np.abs(pixels(SAMPLES["jpeg cmyk"]) - expected).mean() < 8  # Pillow writes Adobe's
    assert (pixels(encoded(PICTURE.convert("CMYK"), "TIFF")) == expected).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_on_the_stated_background(mode: str) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (200, 200, 200, 255))
    image.putpixel((2, 0), (0, 0, 0, 255))
    data = encoded(image.convert(mode), "PNG")
    assert pixels(data)[0, :2].tolist() == [[255, 255, 255], [200, 200, 200]]
    assert pixels(data, background=(1, 2, 3))[0].tolist() == [[1, 2, 3], [200] * 3, [0] * 3]


def test_half_transparency_is_mixed() -> None:
    image = Image.new("RGBA", (1, 1), (200, 100, 0, 128))
    assert np.abs(pixels(encoded(image, "PNG"))[0, 0] - [227, 177, 127]).max() <= 1


def test_a_palette_s_and_a_grey_s_clear_colour() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    data = encoded(palette, "PNG", transparency=1)
    assert pixels(data, background=(9, 9, 9))[0].tolist() == [[10, 20, 30], [9, 9, 9]]
    for grey in (np.array([[5, 6]], np.uint8), np.array([[5, 6]], np.uint16)):
        data = encoded(Image.fromarray(grey), "PNG", transparency=6)
        assert pixels(data, background=(9, 8, 7))[0, 1].tolist() == [9, 8, 7]
        assert pixels(data, background=(9, 8, 7))[0, 0].max() <= 5


def test_one_bit() -> None:
    bits = Image.new("1", (2, 1))
    bits.putpixel((1, 0), 1)
    for kind in ("PNG", "BMP", "TIFF", "GIF"):
        assert pixels(encoded(bits, kind))[0].tolist() == [[0] * 3, [255] * 3]


def test_pixels_pass_through_and_are_not_shared() -> None:
    source = PIXELS.copy()
    image = decode(ImageRef.of(source), max_pixels=1)
    image.putpixel((0, 0), (1, 2, 3))
    assert (source == PIXELS).all()
    assert (np.asarray(image)[1:] == PIXELS[1:]).all()


def deeper(mode: str) -> bytes:
    grey = tiff(np.arange(8, dtype=">u2").tobytes(), (4, 2), 16, 0)
    rgba = PICTURE.convert("RGBA")
    rgba.putalpha(PICTURE.getchannel("R"))
    black = Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257)
    return {
        "RGBA": lambda: encoded(rgba, "PNG", exif=turned(6)),
        "LA": lambda: encoded(rgba.convert("LA"), "PNG"),
        "clear RGB": lambda: encoded(PICTURE, "PNG", transparency=tuple(PIXELS[0, 0].tolist())),
        "clear 16": lambda: encoded(black, "PNG", transparency=int(PIXELS[0, 0, 0]) * 257),
        "white is zero": lambda: grey,
        "float": lambda: encoded(Image.fromarray(PIXELS[:, :, 0].astype(np.float32)), "TIFF"),
    }[mode]()


EXTRA = ["RGBA", "LA", "clear RGB", "clear 16", "white is zero", "float"]


# of deep colours a PIL image has lost the lower half
@pytest.mark.parametrize("kind", [k for k in (*SAMPLES, *EXTRA) if "deep" not in k])
def test_a_pil_image_is_what_its_file_is(kind: str) -> None:
    data = SAMPLES[kind] if kind in SAMPLES else deeper(kind)
    with Image.open(BytesIO(data)) as image:
        ref = ImageRef.of(image)
        mode, info = image.mode, dict(image.info)
    ours = np.asarray(decode(ref)).astype(int)
    assert ours.tolist() == pixels(data).tolist()
    assert pixels(ref).tolist() == ours.tolist()  # asking does not change it
    assert (image.mode, image.info) == (mode, info)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_pil_image_is_turned_as_its_file_is(orientation: int) -> None:
    data = encoded(PICTURE, "JPEG", exif=turned(orientation))
    image = Image.open(BytesIO(data))
    assert pixels(image).tolist() == pixels(data).tolist()
    upright = ImageOps.exif_transpose(image)
    assert pixels(upright).tolist() == np.asarray(upright).tolist()


def test_a_pil_image_is_left_as_it_was() -> None:
    image = Image.new("RGB", (4, 2), (1, 2, 3))
    image.info["comment"] = "mine"
    ref = ImageRef.of(image)
    decode(ref).paste((0, 0, 0), (0, 0, 4, 2))
    assert pixels(ref).tolist() == np.asarray(image).tolist() == [[[1, 2, 3]] * 4] * 2
    assert image.info == {"comment": "mine"}


def test_the_name_does_not_decide_the_format(tmp_path: Path) -> None:
    path = tmp_path / "photo.txt"
    path.write_bytes(SAMPLES["tiff lzw"])
    assert (pixels(path) == PIXELS).all()


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_file_cut_anywhere_is_refused_or_was_whole(kind: str) -> None:
    data = SAMPLES[kind]
    whole = pixels(data)
    refused = 0
    for cut in {*range(0, len(data), max(1, len(data) // 150)), len(data) - 1, len(data) - 30}:
        try:
            found = pixels(data[:cut])
        except ImageError:
            refused += 1
        else:  # only what follows the pixels is gone
            assert (found == whole).all()
            assert cut > 0.4 * len(data)
    assert refused > 50


@pytest.mark.parametrize("kind", ["jpeg", "jpeg progressive", "png", "png 16", "tiff lzw"])
def test_a_file_whose_rest_is_zeros_is_refused(kind: str) -> None:
    data = SAMPLES[kind]
    for part in (0.5, 0.75, 0.9):
        cut = int(part * len(data))
        refusal(data[:cut] + bytes(len(data) - cut))


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def claims(kind: str, width: int, height: int) -> bytes:
    """A small file whose header claims a size."""
    if kind == "png":
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        body = zlib.compress(bytes(1000))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body)
    if kind == "jpeg":
        data = bytearray(SAMPLES["jpeg"])
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", height, width)
        return bytes(data)
    if kind == "bmp":
        data = bytearray(SAMPLES["bmp"])
        data[18:26] = struct.pack("<ii", width, height)
        return bytes(data)
    if kind == "gif screen":
        data = bytearray(SAMPLES["gif"])
        data[6:10] = struct.pack("<HH", width, height)
        return bytes(data)
    if kind == "gif frame":
        data = bytearray(SAMPLES["gif animated"])
        at = data.index(b"\x2c", 13 + 3 * 256)
        data[at + 5 : at + 9] = struct.pack("<HH", width, height)
        return bytes(data)
    if kind == "tiff":
        return tiff(bytes(100), (width, height), 8, 1)
    data = bytearray(SAMPLES[kind])
    at = data.index({"webp": b"VP8X", "webp lossless": b"VP8L"}[kind])
    if kind == "webp":
        data[at + 12 : at + 18] = (
            struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
        )
    else:
        data[at + 9 : at + 13] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


@pytest.mark.parametrize("size", [(10_000, 10_000), (16_000, 16_000)])
@pytest.mark.parametrize(
    "kind",
    ["png", "jpeg", "bmp", "gif screen", "gif frame", "tiff", "webp", "webp lossless"],
)
def test_a_bomb_is_refused_by_its_header(
    kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("memory was taken")

    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", forbidden)
    monkeypatch.setattr("PIL._webp.WebPAnimDecoder", forbidden)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow warns of the first size and refuses the second
        message = refusal(claims(kind, *size))
    assert f"{size[0]} x {size[1]} pixels, more than the 89478485 allowed" in message


def test_the_cap_can_be_lowered_and_counts_pixels() -> None:
    assert pixels(SAMPLES["jpeg"], max_pixels=H * W).shape == (H, W, 3)
    assert "more than the 1919 allowed; make it smaller" in refusal(
        SAMPLES["jpeg"], max_pixels=H * W - 1
    )


def test_nothing_global_is_touched(capfd: pytest.CaptureFixture[str]) -> None:
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    for data in SAMPLES.values():
        pixels(data)
    refusal(claims("png", 10_000, 10_000))
    after = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    assert before == after == (89478485, False, after[2])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"", "is empty (0 bytes); copy or download it again"),
        (b"Dear image,\nI am text.\n", "is text, not an image"),
        (b"<html><body>404</body></html>", "is an HTML page, not an image"),
        (bytes(5000), "holds zeros where its header should be"),
        (
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
            "is a HEIC photo, which is not read; export it as JPEG",
        ),
        (b"%PDF-1.7\n\xe2\xe3\xcf\xd3", "is a PDF"),
        (b"\x7fELF\x02\x01\x01\0\xff", "expected JPEG, PNG, WebP, AVIF, BMP, TIFF, GIF or DICOM"),
        (b"\xff\xd8\xff\xe0 and nothing more", "this JPEG file is damaged or cut short"),
        (encoded(PICTURE, "PPM"), "expected JPEG, PNG, WebP, AVIF, BMP, TIFF, GIF or DICOM"),
        (encoded(PICTURE, "JPEG2000"), "is a JPEG 2000 picture, which is not read; export it"),
    ],
)
def test_what_is_no_image_is_told_by_name_and_cause(data: bytes, cause: str) -> None:
    assert cause in refusal(data)


def test_what_is_no_file(tmp_path: Path) -> None:
    cases = {
        tmp_path: "is a folder; expected an image file",
        tmp_path / "none.jpg": "does not exist; check the path",
        tmp_path / "broken.jpg": "does not exist (a link to nothing)",
        tmp_path / "loop.jpg": "cannot be read",
        tmp_path / "a\0b.jpg": "cannot contain a zero byte",
    }
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    for path, cause in cases.items():
        assert cause in refusal(path), path


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_or_device_never_makes_us_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    answers: list[str] = []
    paths = [tmp_path / "pipe.jpg", Path("/dev/zero"), Path("/dev/null")]

    def ask() -> None:
        answers.extend(refusal(p) for p in paths)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert answers == ["x.jpg: is a pipe or device; expected an image file"] * 3


def test_a_file_too_large_to_be_an_image_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: takes no disk
    assert "is larger than 1073741824 bytes" in refusal(path)


def test_lack_of_memory_is_one_image_s_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", full)
    assert "needs more memory than there is" in refusal(SAMPLES["png"])


def test_a_warning_made_an_error_is_one_image_s_failure() -> None:
    data = pictures.tiff(PIXELS, {33432: (2, b"copyright" * 9)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "Truncated File Read" in refusal(data[:-50])


@pytest.mark.parametrize("options", [{"max_pixels": 0}, {"background": (0, 0, 256)}])
def test_arguments_that_cannot_be_meant(options: dict[str, object]) -> None:
    with pytest.raises(InputError, match="expected max_pixels above 0 and a background") as caught:
        decode(ImageRef.of(PIXELS), **options)
    assert not isinstance(caught.value, ImageError)


Edit = tuple[str, int, int, bytes]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "cut", "insert"]),
        st.integers(0, 10**6),
        st.integers(0, 7),
        st.binary(min_size=1, max_size=8)
        | st.sampled_from([b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"]),
    ),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, edits: list[Edit], *, head: bool) -> bytes:
    """A file with a few bytes changed; most of what is decisive lies in its first 200."""
    found = bytearray(data)
    for what, where, bit, new in edits:
        at = where % max(1, min(len(found), 200 if head else 10**6))
        if what == "set":
            found[at : at + len(new)] = new
        elif what == "flip" and found:
            found[at] ^= 1 << bit
        elif what == "cut":
            del found[at : at + 3 * bit + 1]
        else:
            found[at:at] = new
    return bytes(found)


def outcome(data: bytes) -> str:
    try:
        image = decode(ImageRef.of(data, "x"), max_pixels=10**6)
    except ImageError as error:
        return "refused" if str(error).startswith("x: ") else f"without its name: {error}"
    return "decoded" if image.mode == "RGB" else f"in the mode {image.mode}"


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(kind=st.sampled_from(sorted(SAMPLES)), edits=EDITS, head=st.booleans())
def test_a_hostile_file_raises_an_image_error_and_nothing_else(
    kind: str, edits: list[Edit], head: bool
) -> None:
    assert outcome(edited(SAMPLES[kind], edits, head=head)) in ("decoded", "refused")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(start=st.sampled_from([d[:30] for d in SAMPLES.values()]), rest=st.binary(max_size=300))
def test_a_made_up_file_raises_an_image_error_and_nothing_else(start: bytes, rest: bytes) -> None:
    assert outcome(start + rest) in ("decoded", "refused")


def test_many_threads_read_what_one_reads() -> None:
    jobs = [*SAMPLES.values(), *(d[:100] for d in SAMPLES.values())] * 5

    def answer(data: bytes) -> bytes | str:
        try:
            return pixels(data).tobytes()
        except ImageError as error:
            return str(error)

    alone = [answer(data) for data in jobs]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, jobs)) == alone


def test_real_photos(shared: Path) -> None:
    for path in sorted(shared.glob("clothing/test/hat/*"))[:5]:
        expected = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        assert (pixels(path) == np.asarray(expected)).all()


def test_a_jpeg_may_come_out_small_and_nothing_else_of_it_changes() -> None:
    picture = Image.linear_gradient("L").resize((1200, 900)).convert("RGB")
    data = encoded(picture, "JPEG", exif=turned(6))
    assert decode(ImageRef.of(data, "a.jpg")).size == (900, 1200)
    for least, size in ((900, (900, 1200)), (450, (450, 600)), (200, (225, 300)), (1, (113, 150))):
        assert decode(ImageRef.of(data, "a.jpg"), least=least).size == size
    assert decode(ImageRef.of(encoded(picture, "PNG"), "a.png"), least=1).size == (1200, 900)
    with pytest.raises(ImageError, match="pixels"):
        decode(ImageRef.of(data, "a.jpg"), least=1, max_pixels=1_000_000)
    with pytest.raises(ImageError, match="cut short"):
        decode(ImageRef.of(data[: len(data) // 2], "a.jpg"), least=1)
    whole = decode(ImageRef.of(data[:-2], "a.jpg"), least=200)  # lacks its end marker alone
    assert whole.tobytes() == decode(ImageRef.of(data, "a.jpg"), least=200).tobytes()
