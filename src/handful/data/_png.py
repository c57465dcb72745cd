"""The chunks of a PNG: what the picture needs, what is damaged, and how many bits are meant."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_START = 8  # bytes of the signature
# Beside the critical chunks (whose names begin with a capital letter), what decides how it looks.
_LOOKS = (b"tRNS", b"eXIf")
# Text chunks that may say how a photo is to be turned; Pillow reads them.
_TURNS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
_TEXT = 1 << 20  # bytes, unpacked; Pillow refuses the whole file for a longer text
_Chunk = tuple[bytes, int, int]  # its name, the places of its first byte and of the next chunk


def chunks(data: bytes) -> Iterator[_Chunk]:
    """Every chunk, up to the last whole one or the end of the picture."""
    at = _START
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 12 + length
        yield name, at, end
        if name == b"IEND":
            return
        at = end


def is_damaged(data: bytes) -> bool:
    """Whether a chunk of pixel data fails its checksum, as the zero-filled rest of a copy does."""
    return any(
        end > len(data)
        or zlib.crc32(memoryview(data)[at + 4 : end - 4])
        != struct.unpack_from(">I", data, end - 4)[0]
        for name, at, end in chunks(data)
        if name == b"IDAT"
    )


def picture_alone(data: bytes) -> bytes:
    """The file without the chunks that say nothing of its pixels.

    Pillow reads profiles and texts before the pixels, and refuses a whole file for a large one.
    """
    found = list(chunks(data))
    kept = [(at, end) for name, at, end in found if _counts(name, data[at + 8 : end - 4])]
    if len(kept) == len(found):
        return data
    rest = found[-1][2]  # what is cut short stays, for Pillow to say so
    pieces = [data[:_START], *(data[at:end] for at, end in kept), data[rest:]]
    return b"".join(pieces)


def _counts(name: bytes, body: bytes) -> bool:
    if name[:1].isupper() or name in _LOOKS:
        return True
    if name not in (b"tEXt", b"zTXt", b"iTXt") or not body.startswith(_TURNS):
        return False
    return len(body) < _TEXT and _unpacks(body)


def _unpacks(body: bytes) -> bool:
    """Whether a text that may be packed stays small; for a plain one nothing is found packed."""
    start = body.find(b"\0x")  # zlib's first byte, after the last zero before the packed text
    if start < 0:
        return True
    try:
        return len(zlib.decompressobj().decompress(body[start + 1 :], _TEXT)) < _TEXT
    except zlib.error:
        return True


def is_animation(data: bytes) -> bool:
    """Whether further frames follow the picture."""
    for name, at, _ in chunks(data):
        if name == b"acTL":
            return bool(struct.unpack_from(">I", data, at + 8)[0] > 1)
        if name == b"IDAT":
            break
    return False


def depth(data: bytes) -> int:
    """Bits a sample: 1, 2, 4, 8 or 16."""
    return data[24] if len(data) > 24 else 0


def significant_bits(data: bytes) -> int | None:
    """How many bits of a sample the sBIT chunk calls significant, the most of its channels."""
    for name, at, end in chunks(data):
        if name == b"sBIT":
            return max(data[at + 8 : end - 4], default=None)
        if name == b"IDAT":
            break
    return None
