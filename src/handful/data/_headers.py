"""Headers read by hand, where Pillow reads too late or not at all.

Pillow allocates a WebP's canvas, and warns of a large GIF frame, before a caller can see the size.
All functions here take the file's bytes.
"""

from __future__ import annotations

import struct

from handful.errors import ImageError

# What a file starts with, for the formats that are decoded.
SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
}
_AVIF = (b"avif", b"avis")  # brands


def kind(data: bytes) -> str | None:
    """`JPEG`, `PNG`, `GIF`, `BMP`, `TIFF`, `WebP`, `AVIF`, `DICOM`, or None for anything else."""
    if data[4:8] == b"ftyp" and _is_avif(data):
        return "AVIF"
    if data[128:132] == b"DICM":  # after 128 bytes of any content, which may look like a TIFF
        return "DICOM"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for name, starts in SIGNATURES.items() if data.startswith(starts)), None)


def _is_avif(data: bytes) -> bool:
    """By the brand, or by the first compatible one that says how the picture is packed."""
    if data[8:12] in _AVIF:
        return True
    end = min(int.from_bytes(data[:4], "big"), 256)
    compatible = [data[at : at + 4] for at in range(16, end, 4)]
    return data[8:12] in (b"mif1", b"msf1") and any(brand in _AVIF for brand in compatible)


def check_size(name: str, size: tuple[int, int], limit: int) -> None:
    """Refuse a picture by its header.

    Raises:
        ImageError: it has more than `limit` pixels.
    """
    width, height = size
    if width * height > limit:
        raise ImageError(
            f"{name}: says it has {width} x {height} pixels, more than the {limit} allowed; make "
            "it smaller, or allow more with --max-pixels"
        )


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
