"""Helpers over sqlite3: transactions, freed pages, errors with cause and cure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from handful.errors import StorageError

WAIT = 60.0  # seconds to queue behind another process; one batch takes milliseconds
_STEP = 4_096  # pages freed in one transaction: bounds the journal on a full disk
_WRITE_ERRORS = (
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
)


@contextmanager
def transaction(db: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All of it or nothing, also when Ctrl-C falls into it."""
    with db:  # commits, or rolls back whatever it was that ended the block
        db.execute(f"BEGIN {kind}")
        yield


def pragma(db: sqlite3.Connection, name: str) -> int:
    """The value of a numeric PRAGMA."""
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def integrity(db: sqlite3.Connection) -> tuple[str, ...]:
    """Faults that SQLite's integrity check finds; empty where the file is sound."""
    lines = [str(row[0]) for row in db.execute("PRAGMA integrity_check(20)")]
    return () if lines == ["ok"] else tuple(lines)


def free_pages(db: sqlite3.Connection, count: int) -> None:
    """Give so many pages back in one transaction.

    `execute` would step the statement once, which frees a single page; `executescript` runs it to
    its end.
    """
    db.executescript(f"PRAGMA incremental_vacuum({count})")


def shrink(db: sqlite3.Connection) -> None:
    """Give the pages of removed rows back to the system, a step at a time."""
    free = pragma(db, "freelist_count")
    while free:
        free_pages(db, _STEP)
        left = pragma(db, "freelist_count")
        if left >= free:  # another process fills it meanwhile
            return
        free = left


@contextmanager
def failures(file: Path, doing: str) -> Iterator[None]:
    """Turn an error of SQLite into a `StorageError` with cause and cure."""
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
