"""Files of large rows: one row after another, each with a checksum kept elsewhere.

Not a memory map: a disk that fills up, or a file that another process cuts short, would end the
process with SIGBUS where reading and writing give an error.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from handful.contracts import Array
from handful.errors import StorageError

_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def checksum(key: bytes, row: Array) -> int:
    """Of a row and of its key, so that a row at another one's place is found out."""
    return zlib.crc32(row.data, zlib.crc32(key))


def length(file: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return file.stat().st_size if file.is_file() else 0


def remove(file: Path) -> None:
    """Remove a file if it is there.

    Raises:
        StorageError: the system refuses.
    """
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{file}: cannot be removed ({error.strerror})") from error


def read(file: Path, rows: Sequence[tuple[bytes, int, int]], into: Iterable[Array]) -> list[bool]:
    """Read rows (key, place, checksum), each into its own array; return which are sound.

    Raises:
        StorageError: the system refuses.
    """
    sound = []
    try:
        with file.open("rb") as opened:
            for (key, place, known), row in zip(rows, into, strict=False):
                opened.seek(place * row.nbytes)
                whole = opened.readinto(row.data) == row.nbytes
                sound.append(whole and checksum(key, row) == known)
    except FileNotFoundError:  # another process removed the space since
        return [False] * len(rows)
    except OSError as error:
        raise StorageError(
            f"{file}: reading failed ({error.strerror}); look with `handful store check`"
        ) from error
    return sound


def write(file: Path, places: Sequence[int], rows: Array, before: int) -> None:
    """Write rows `[N, ...]` to their places; they are on the disk when this returns.

    Raises:
        StorageError: the disk is full or refuses; the file is `before` bytes long again.
    """
    try:
        file.parent.mkdir(exist_ok=True)
        with file.open("r+b" if file.exists() else "w+b") as opened:
            for place, row in zip(places, rows, strict=True):
                opened.seek(place * row.nbytes)
                opened.write(row.data)
            opened.flush()
            os.fsync(opened.fileno())
    except OSError as error:
        with suppress(OSError):
            os.truncate(file, before)
        full = error.errno in _FULL
        cure = (
            "free some space, run `handful store prune --activations`, name another folder in "
            "$HANDFUL_HOME, or keep fewer (max_bytes, fewer views, a higher first block)"
            if full
            else "correct the permissions of the folder, or name another one in $HANDFUL_HOME"
        )
        cause = "the disk is full or a size limit was met" if full else "cannot be written"
        raise StorageError(
            f"{file}: {cause} ({error.strerror}); what was stored before is kept. To go on, {cure}"
        ) from error
