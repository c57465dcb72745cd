"""Headers read by hand, where Pillow reads too late or not at all.

Pillow allocates a WebP's canvas, and warns of a large GIF frame, before a caller can see the size;
and it leaves the checksums of PNG pixel data alone. All functions here take the file's bytes.
"""

from __future__ import annotations

import struct
import zlib

# What a file starts with, for the formats that are decoded.
SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}

_TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")


def kind(data: bytes) -> str | None:
    """`JPEG`, `PNG`, `GIF`, `BMP`, `TIFF`, `WebP`, or None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for name, starts in SIGNATURES.items() if data.startswith(starts)), None)


def describe_unknown(data: bytes, name: str = "") -> str:
    """For an error: what a file of no known kind seems to be, and what to do about it."""
    if name.lower().endswith(_TABLES):
        return (
            "is a table, not an image; predict takes images and folders of images, a table is for "
            "fit and evaluate"
        )
    if not data:
        return "is empty (0 bytes); copy or download it again"
    if data[4:8] == b"ftyp":
        return "is a HEIF, AVIF or video file, which is not read; export it as JPEG or PNG"
    if not data[:512].strip(b"\0"):
        return "holds zeros where its header should be; copy or download it again"
    if data.startswith(b"%PDF"):
        return "is a PDF, not an image; export its pages as PNG"
    if _is_text(data[:512]):
        return "is text, not an image; check how it was made or downloaded"
    return "is not an image that is read here; expected JPEG, PNG, WebP, BMP, TIFF or GIF"


def _is_text(start: bytes) -> bool:
    printable = sum(byte >= 32 or byte in b"\t\n\r\f" for byte in start)
    return b"\0" not in start and printable == len(start)


def canvas(data: bytes) -> tuple[int, int] | None:
    """(width, height) that decoding a WebP or GIF would allocate; None where it is not stated."""
    try:
        return _webp_canvas(data) if data[:4] == b"RIFF" else _gif_canvas(data)
    except (struct.error, IndexError):  # cut short: Pillow has the better message
        return None


def _webp_canvas(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":  # 24-bit width - 1, height - 1
        low_w, high_w, low_h, high_h = struct.unpack_from("<HBHB", data, 24)
        return (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1
    if chunk == b"VP8L":  # 14 bits each, minus one, after a signature byte
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":  # 14 bits each, after the frame tag and start code
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _gif_canvas(data: bytes) -> tuple[int, int] | None:
    """The screen, made larger where the first frame is (Pillow grows it so)."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while True:
        block = data[at]
        if block == 0x2C:  # image descriptor
            x, y, w, h = struct.unpack_from("<HHHH", data, at + 1)
            return max(width, x + w), max(height, y + h)
        if block == 0x3B:  # the end, before any frame
            return width, height
        at += 1
        if block == 0x21:  # an extension: a label, then sub-blocks up to an empty one
            at += 1
            while data[at]:
                at += data[at] + 1
            at += 1


def png_is_damaged(data: bytes) -> bool:
    """Whether a chunk of pixel data fails its checksum, as the zero-filled rest of a copy does."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 8 + length
        if name == b"IEND":
            return False
        if name == b"IDAT" and (
            end + 4 > len(data)
            or zlib.crc32(memoryview(data)[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]
        ):
            return True
        at = end + 4
    return False
