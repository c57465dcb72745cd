"""Files of large rows: one row after another, each with a checksum kept elsewhere."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from handful.contracts import Array
from handful.errors import StorageError

FOLDER = "activations"
_FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))


def checksum(key: bytes, row: Array) -> int:
    """Of a row and whose it is."""
    return zlib.crc32(row.data, zlib.crc32(key))


def data_file(folder: Path, number: int) -> Path:
    """Where the rows of a room are."""
    return folder / FOLDER / f"{number}.f32"


def data_files(folder: Path) -> list[Path]:
    """The files of all rooms, listed or not."""
    return sorted((folder / FOLDER).glob("*.f32"))


def length(file: Path) -> int:
    """Bytes of a file, 0 where there is none."""
    return file.stat().st_size if file.is_file() else 0


def read(
    file: Path, width: int, wanted: Iterable[tuple[int, int, bytes, int]], into: Array
) -> Iterator[int]:
    """Read rows (place, checksum, key, i) into `into[i]`; gives each i whose row is sound."""
    try:
        with FileIO(file) as opened:
            for place, known, key, i in wanted:
                row = memoryview(into[i]).cast("B")
                opened.seek(place * width)
                if _fill(opened, row) and zlib.crc32(row, zlib.crc32(key)) == known:
                    yield i
    except FileNotFoundError:  # someone removed the room since
        return
    except OSError as error:
        raise StorageError(
            f"{file}: reading failed ({error.strerror}); look with `handful store check`"
        ) from error


@contextmanager
def writing(file: Path, before: int) -> Iterator[FileIO]:
    """A room's file to write; where the disk refuses, it is as long as before."""
    try:
        file.parent.mkdir(exist_ok=True)
        with FileIO(file, "r+" if file.exists() else "w+") as opened:
            try:
                yield opened
            except OSError:
                opened.truncate(before)
                raise
    except OSError as error:
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


def pour(opened: FileIO, row: memoryview) -> None:
    """Write all of a row; the system may take it in pieces."""
    done = 0
    while done < len(row):
        done += opened.write(row[done:]) or 0


def _fill(opened: FileIO, row: memoryview) -> bool:
    """Read a whole row; False where the file ends before."""
    done = 0
    while done < len(row):
        got = opened.readinto(row[done:])
        if not got:
            return False
        done += got
    return True
