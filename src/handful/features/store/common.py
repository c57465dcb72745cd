"""What is the same in the files of both stores."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handful.errors import InputError, StorageError

DAY = 86_400.0
STEP = 4_096  # rows or pages in one transaction: bounds memory, and the journal on a full disk
_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Health:
    """What a check looked at and what it found; no problems is healthy."""

    rows: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Pruned:
    """What housekeeping removed, and by how much the file shrank."""

    rows: int
    bytes: int


def keys_of(ids: Sequence[str]) -> list[bytes]:
    """Digests as the bytes that the file holds.

    Raises:
        InputError: something that is no digest.
    """
    wrong = next((i for i in ids if not _DIGEST.fullmatch(i)), None)
    if wrong is not None:
        raise InputError(f"expected image digests of 64 hexadecimal digits, got {wrong!r}")
    return [bytes.fromhex(i) for i in ids]


def remove(file: Path) -> None:
    """Remove a file if it is there.

    Raises:
        StorageError: the system refuses.
    """
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{file}: cannot be removed ({error.strerror})") from error


def is_missing(file: Path) -> bool:
    """Whether there is no store yet, so that looking at it would have to make it.

    Raises:
        StorageError: a file lies where the folder should be.
    """
    if os.path.isfile(file.parent):  # noqa: PTH113  # Path raises where it may not look
        raise StorageError(f"{file.parent}: is a file; the feature store needs a folder")
    return not os.path.exists(file)  # noqa: PTH110


def structure(db: sqlite3.Connection) -> tuple[str, ...]:
    """What SQLite finds wrong with the file as a whole."""
    told = [str(row[0]) for row in db.execute("PRAGMA integrity_check(20)")]
    return () if told == ["ok"] else tuple(told)


def shrink(db: sqlite3.Connection) -> None:
    """Give the pages of removed rows back to the system, a step at a time."""
    free = pragma(db, "freelist_count")
    while free:
        free_pages(db, STEP)
        left = pragma(db, "freelist_count")
        if left >= free:  # someone else fills it meanwhile
            return
        free = left


def free_pages(db: sqlite3.Connection, count: int) -> None:
    """Give so many pages back in one transaction.

    `execute` would step the statement once, which frees a single page; `executescript` runs it to
    its end.
    """
    db.executescript(f"PRAGMA incremental_vacuum({count})")


def pragma(db: sqlite3.Connection, name: str) -> int:
    """A number that SQLite knows of the file."""
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def part(key: str, name: str) -> str:
    """`part:value` of a space's key; `""` where it has none."""
    return next((p.partition(":")[2] for p in key.split() if p.startswith(f"{name}:")), "")
