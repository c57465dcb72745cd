"""A JPEG that ends without its end marker: whether all of its picture is there all the same.

libjpeg fills what is missing with grey and only warns, where Pillow cannot hear it. So it is found
out by trying: a decoder that has read the whole picture ignores what follows, and one that has not
takes it for picture data.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

END = b"\xff\xd9"
# What is put after the last byte: nothing, or bytes of any bits but those of a marker.
_REST = (b"", b"\x55\xa3\x0f" * 200, bytes(range(254, 0, -1)) * 3)
_LAST = 4  # bytes without which the picture must change, else they are no part of it
_FRAMES = tuple(c for c in range(0xC0, 0xD0) if c not in (0xC4, 0xC8, 0xCC))
_PROGRESSIVE = (0xC2, 0xC6, 0xCA, 0xCE)


def completed(data: bytes) -> bytes | None:
    """The file with its end marker, where nothing but that is missing; else None.

    Three things have to hold: the pixels do not depend on what follows the last byte, they do
    depend on its last bytes (else those are no picture data, such as the rest of another file),
    and of a progressive JPEG every scan is there.
    """
    whole = data.rstrip(b"\0").rstrip(b"\xff")  # padding, and half a marker
    return whole + END if is_whole(whole) else None


def is_whole(data: bytes) -> bool:
    """Whether a file without its end marker ends with the last byte of its picture, as above."""
    return _has_every_scan(data) and _is_settled(data) and not _is_settled(data[:-_LAST])


def _is_settled(data: bytes) -> bool:
    try:
        first, *others = (_pixels(data + rest + END) for rest in _REST)
    except OSError:  # what follows was taken for picture data, and is none
        return False
    return all(np.array_equal(first, each) for each in others)


def _pixels(data: bytes) -> NDArray[np.uint8]:
    image = JpegImageFile(BytesIO(data))
    image.load()
    return np.asarray(image)


def _has_every_scan(data: bytes) -> bool:
    """Whether the scans hold all bits of all coefficients of all components."""
    components, progressive = 0, False
    seen: set[tuple[int, int]] = set()  # component, coefficient: with its lowest bit
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF, *range(0xD0, 0xD8)):
            at += 1  # picture data, padding, or a restart within a scan
            continue
        marker, body = data[at + 1], data[at + 4 :][: int.from_bytes(data[at + 2 : at + 4], "big")]
        if marker in _FRAMES and len(body) > 5:
            components, progressive = body[5], marker in _PROGRESSIVE
        elif marker == 0xDA and body:
            count = body[0]
            names = body[1 : 1 + 2 * count : 2]
            low, high, bits = body[1 + 2 * count : 4 + 2 * count]
            if bits & 15 == 0 or not progressive:
                span = range(low, high + 1) if progressive else range(64)
                seen |= {(name, k) for name in names for k in span}
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return components > 0 and len(seen) == 64 * components
