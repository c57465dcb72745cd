"""Pictures that Pillow does not write: deep colours, bands, tags and chunks."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

_SIZES = {1: "B", 2: "s", 3: "H", 4: "I", 11: "f", 12: "d"}
Tags = Mapping[int, tuple[int, Any]]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    """The PNG with a chunk behind its header."""
    return png[:33] + chunk(name, body) + png[33:]


def png16(samples: np.ndarray) -> bytes:
    """`[H, W, 3]` or `[H, W, 4]` uint16 as PNG, with all filters of the standard's first kind."""
    height, width, bands = samples.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[bands], 0, 0, 0)
    body = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in body)


def tiff(samples: np.ndarray, more: Tags | None = None, pages: Sequence[Tags] = ()) -> bytes:
    """`[H, W]` or `[H, W, S]` as an uncompressed little-endian TIFF.

    Args:
        samples: of any number type.
        more: tag to (type, values), added or instead of the usual ones; None takes a tag away.
        pages: tags of further pages, which share the pixels of the first.
    """
    height, width = samples.shape[:2]
    bands = samples.shape[2] if samples.ndim == 3 else 1
    pixels = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    tags: dict[int, tuple[int, Any]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [8 * samples.dtype.itemsize] * bands),
        259: (3, [1]),
        262: (3, [2 if bands > 2 else 1]),
        273: (4, [8]),
        277: (3, [bands]),
        278: (4, [height]),
        279: (4, [len(pixels)]),
        284: (3, [1]),
        339: (3, [{"u": 1, "i": 2, "f": 3}[samples.dtype.kind]] * bands),
    }
    tags |= dict(more or {})
    tags = {tag: value for tag, value in tags.items() if value is not None}
    found = struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels
    for place, page in enumerate([tags, *({**tags, **each} for each in pages)]):
        found += _directory(len(found), page, last=place == len(pages))
    return found


def _directory(start: int, tags: Tags, *, last: bool) -> bytes:
    entries, outside = b"", b""
    after = start + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        kind, values = tags[tag]
        if kind == 2:
            packed, count = values + b"\0", len(values) + 1
        else:
            packed, count = struct.pack(f"<{len(values)}{_SIZES[kind]}", *values), len(values)
        if len(packed) > 4:
            outside += b"\0" * (len(outside) % 2)
            packed, outside = struct.pack("<I", after + len(outside)), outside + packed
        entries += struct.pack("<HHI", tag, kind, count) + packed.ljust(4, b"\0")
    end = 0 if last else after + len(outside)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", end) + outside
