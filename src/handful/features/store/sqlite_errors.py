"""What SQLite's errors mean to a user: cause and cure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handful.errors import StorageError

WAIT = 60.0  # seconds to queue behind another process; one batch takes milliseconds
_WRITE_ERRORS = (
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
)


@contextmanager
def failures(file: Path, doing: str) -> Iterator[None]:
    """Turn what SQLite and the system say into a `StorageError` with cause and cure."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        cause = _explained(error)
        raise StorageError(f"{file}: {doing} failed: {cause}") from error


def is_damage(error: BaseException | None) -> bool:
    """Whether an error of SQLite means that the file itself is broken."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _explained(error: sqlite3.DatabaseError) -> str:
    code = getattr(error, "sqlite_errorcode", 0)
    kind = code & 0xFF  # the rest of the number is detail
    if is_damage(error):
        return (
            f"the file is damaged ({error}); look with `handful store check`, then throw away what "
            "is broken with `handful store prune --damaged`: features can be computed again"
        )
    if kind == sqlite3.SQLITE_FULL or code in _WRITE_ERRORS:
        return (
            f"the disk is full or a size limit was met ({error}); what was stored before is kept. "
            "Free some space, run `handful store prune`, or name another folder in $HANDFUL_HOME"
        )
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another process has held the store for {WAIT:.0f} s ({error}); try again later"
    if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return (
            f"the folder or the file cannot be written ({error}); correct its permissions, or "
            "name another folder in $HANDFUL_HOME"
        )
    return f"{error} ({getattr(error, 'sqlite_errorname', 'unknown')}); look at the disk"
