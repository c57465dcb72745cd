"""The SQL that both stores share: spaces, the rows in them, and what is found by a digest."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from handful.errors import InputError
from handful.features.store.database import Layout
from handful.features.store.spaces import Space
from handful.features.store.sqlite import transaction

STEP = 4_096  # rows in one transaction: bounds memory, and the journal on a full disk
_KEYS = 500  # in one query; the time is flat from 100 to 2000, and old SQLite allows 999
_DIGEST = re.compile("[0-9a-f]{64}")


def keys_of(ids: Sequence[str]) -> list[bytes]:
    """Digests as the bytes that the index holds.

    Raises:
        InputError: something that is no digest.
    """
    wrong = next((i for i in ids if not _DIGEST.fullmatch(i)), None)
    if wrong is not None:
        raise InputError(f"expected image digests of 64 hexadecimal digits, got {wrong!r}")
    return [bytes.fromhex(i) for i in ids]


def spaces(db: sqlite3.Connection, layout: Layout) -> tuple[Space, ...]:
    """Every space with its rows counted, the last used first."""
    counts = dict(db.execute("SELECT space, count(*) FROM rows GROUP BY space").fetchall())
    listed = _listed(db, layout, "ORDER BY used DESC, number DESC")
    return tuple(replace(each, count=counts.get(each.number, 0)) for each in listed)


def find(db: sqlite3.Connection, layout: Layout, key: str) -> Space | None:
    """A space by its key, with a count of 0: counting takes long where there are many rows."""
    return next(_listed(db, layout, "WHERE space = ?", key), None)


def _listed(db: sqlite3.Connection, layout: Layout, which: str, *values: str) -> Iterator[Space]:
    for key, encoder, sides, filled, used, number in db.execute(
        f"{layout.spaces} {which}", values
    ).fetchall():
        shape = tuple(int(side) for side in str(sides).split(","))
        yield Space(key, encoder, shape, 0, filled, used, number)


def make(db: sqlite3.Connection, layout: Layout, key: str, shape: Sequence[int]) -> Space:
    """List a new space, which has no rows yet."""
    db.execute(layout.new_space, [key, ",".join(map(str, shape))])
    return next(_listed(db, layout, "WHERE space = ?", key))


def touch(db: sqlite3.Connection, space: Space, encoder: str = "") -> None:
    """Note that a space is in use, and the encoder's name where one is given."""
    db.execute(
        "UPDATE spaces SET used = ?, encoder = coalesce(nullif(?, ''), encoder) WHERE number = ?",
        [time.time(), encoder, space.number],
    )


def select(
    db: sqlite3.Connection, layout: Layout, space: Space, keys: Sequence[bytes]
) -> dict[bytes, Any]:
    """Of the known among some digests, what the index holds."""
    found: dict[bytes, Any] = {}
    for start in range(0, len(keys), _KEYS):
        part = keys[start : start + _KEYS]
        query = f"{layout.rows} WHERE space = ? AND id IN ({','.join('?' * len(part))})"
        found.update((key, values) for key, *values in db.execute(query, [space.number, *part]))
    return found


def delete(db: sqlite3.Connection, number: int, keys: Sequence[bytes]) -> int:
    """Remove rows of the space with a number; return how many."""
    for start in range(0, len(keys), STEP):
        with transaction(db):
            part = ((number, key) for key in keys[start : start + STEP])
            db.executemany("DELETE FROM rows WHERE space = ? AND id = ?", part)
    return len(keys)
