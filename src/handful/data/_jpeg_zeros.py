"""Long runs of zero bytes in a JPEG's scans: what a broken card or a lost cluster leaves.

libjpeg decodes zeros as if they were picture, without a warning. What they mean depends on the
tables: with the standard ones, every coefficient of every block is -1, which no picture holds.
With tables made for one picture they can mean "this block is as the one before", so that black
margins are long runs of zeros in a sound file. Such a run is only doubted at the picture's end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from handful.data import _jpeg

_RUN = bytes(64)
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # none that may stand within a scan
_SCAN, _TABLES, _END = 0xDA, 0xC4, 0xD9
_HUFFMAN = (0xC0, 0xC1, 0xC2)
_PROGRESSIVE = 0xC2


class _Scan(NamedTuple):
    """Where the data of a scan lie, and whether zero bits in it stand for unchanged blocks."""

    start: int
    stop: int
    zeros_are_plain: bool
    is_last: bool


def has_lost_data(data: bytes, *, one_colour: bool) -> bool:
    """Whether zeros stand where picture data should.

    Args:
        data: a JPEG that Pillow reads.
        one_colour: whether all its pixels are equal: then zeros are what it is made of.
    """
    if one_colour or _RUN not in data:
        return False
    return any(_lacks_data(data, scan) for scan in _scans(data))


def _lacks_data(data: bytes, scan: _Scan) -> bool:
    at = data.find(_RUN, scan.start, scan.stop)
    if at < 0:
        return False
    part = data[: scan.stop]
    if scan.zeros_are_plain:
        if not scan.is_last or not part.endswith(_RUN) or _jpeg.is_whole(part):
            return False
    elif not scan.is_last or data[at : scan.stop].strip(b"\0"):  # more picture follows
        return True
    return _jpeg.completed(part) is None  # else the zeros lie behind the picture


def _scans(data: bytes) -> Iterator[_Scan]:
    """Those of a picture coded by Huffman's tables; none of others."""
    first: dict[int, int] = {}  # table, +16 for AC: what its first code, all zeros, stands for
    frame = 0
    at = 2
    has_begun = False
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF or marker == 0:
            if has_begun:  # zeros where the next scan's tables should be
                yield _Scan(at, len(data), zeros_are_plain=False, is_last=True)
            return
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker == _END:
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        at += 2 + length
        if marker in range(0xC0, 0xD0) and marker not in (_TABLES, 0xC8, 0xCC):
            frame = marker
        elif marker == _TABLES:
            while len(body) > 17:
                first[body[0]] = body[17]
                body = body[17 + sum(body[1:17]) :]
        elif marker == _SCAN and body:
            if frame not in _HUFFMAN:
                return
            found = _MARKER.search(data, at)
            stop = found.start() if found else len(data)
            is_last = found is None or data[found.start() + 1] == _END
            plain = _are_plain(body, first, progressive=frame == _PROGRESSIVE)
            yield _Scan(at, stop, plain, is_last)
            has_begun = True
            at = stop


def _are_plain(body: bytes, first: dict[int, int], *, progressive: bool) -> bool:
    """Whether, in this scan, zero bits mean no difference and no coefficients in all components."""
    count = body[0]
    tables = body[2 : 1 + 2 * count : 2]
    low, _, bits = body[1 + 2 * count : 4 + 2 * count]
    direct = [first.get(each >> 4, 0) == 0 for each in tables]
    others = [first.get(16 + (each & 15), 0) for each in tables]
    if not progressive:
        return all(direct) and not any(others)
    if low == 0:
        return bits >> 4 > 0 or all(direct)  # bits that refine are as they are
    return all(each & 15 == 0 and each >> 4 < 15 for each in others)  # the end of blocks
