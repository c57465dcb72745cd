"""Housekeeping of the feature store: look, check, remove, shrink."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from handful.contracts import UNIT_TOLERANCE, Array
from handful.errors import InputError
from handful.features.store.common import DAY, STEP, part, pragma, shrink
from handful.features.store.database import transaction


@dataclass(frozen=True)
class Space:
    """What the store holds for one encoder in one precision (and one set of views).

    Args:
        space: the key.
        encoder: the name people know the encoder by, `""` where nobody told.
        precision: what it computed in.
        views: how many augmented views were averaged.
        dim: feature width D.
        count: rows.
        bytes: what their values take.
        used: when it was last used, in seconds since 1970, to about a day.
    """

    space: str
    encoder: str
    precision: str
    views: int
    dim: int
    count: int
    bytes: int
    used: float

    def has(self, wanted: str) -> bool:
        """Whether `wanted` is its key, its encoder's name, or one `part:value` of its key."""
        return wanted in (self.space, self.encoder) or wanted in self.space.split()


def is_unit(rows: Array) -> NDArray[np.bool_]:
    """`[N]`: which of `[N, D]` rows have length one; NaN and infinity have not."""
    squares: Array = np.einsum("nd,nd->n", rows, rows)
    return np.asarray(np.abs(squares - 1) <= 2 * UNIT_TOLERANCE, dtype=np.bool_)


def summary(db: sqlite3.Connection) -> tuple[Space, ...]:
    """Every space, the last used first."""
    found = db.execute(
        "SELECT space, encoder, dim, used, "
        "(SELECT count(*) FROM rows WHERE rows.space = spaces.number) "
        "FROM spaces ORDER BY used DESC, number DESC"
    ).fetchall()
    return tuple(
        Space(
            key, name, part(key, "precision"), int(part(key, "views") or 1), dim, n,
            4 * dim * n, used,
        )
        for key, name, dim, used, n in found
    )  # fmt: skip


def bad_rows(db: sqlite3.Connection) -> dict[str, list[int]]:
    """Rows by space that are not finite, not of unit length, or of the wrong width."""
    spaces = {n: (key, dim) for n, key, dim in db.execute("SELECT number, space, dim FROM spaces")}
    bad: dict[str, list[int]] = {}
    last = -1
    while True:
        part = db.execute(
            "SELECT number, space, value FROM rows WHERE number > ? ORDER BY number LIMIT ?",
            [last, STEP],
        ).fetchall()
        if not part:
            return bad
        last = part[-1][0]
        for number, owner, value in part:
            key, dim = spaces.get(owner, ("rows of no space", -1))
            row: Array = np.frombuffer(value, dtype="<f4", count=len(value) // 4)
            if len(value) != 4 * dim or not is_unit(row[None])[0]:
                bad.setdefault(key, []).append(number)


def delete_rows(db: sqlite3.Connection, numbers: list[int]) -> int:
    """Remove rows by number; says how many."""
    for start in range(0, len(numbers), STEP):
        with transaction(db):
            part = [(n,) for n in numbers[start : start + STEP]]
            db.executemany("DELETE FROM rows WHERE number = ?", part)
    return len(numbers)


def delete_oldest(db: sqlite3.Connection, key: str, count: int) -> int:
    """Remove the `count` oldest rows of a space, and the space when nothing is left of it."""
    numbers = db.execute(
        "SELECT rows.number FROM spaces JOIN rows ON rows.space = spaces.number "
        "WHERE spaces.space = ? ORDER BY rows.number LIMIT ?",
        [key, count],
    ).fetchall()
    removed = delete_rows(db, [row[0] for row in numbers])
    with transaction(db):
        db.execute(
            "DELETE FROM spaces WHERE space = ? "
            "AND NOT EXISTS (SELECT 1 FROM rows WHERE rows.space = spaces.number)",
            [key],
        )
    return removed


def delete_unwanted(db: sqlite3.Connection, wanted: str | None, unused_days: float | None) -> int:
    """Remove spaces called `wanted` and spaces not used for so many days."""
    spaces = summary(db)
    if wanted is not None and not any(s.has(wanted) for s in spaces):
        known = ", ".join(sorted({s.encoder or s.space for s in spaces})) or "none"
        raise InputError(f"the store holds nothing called {wanted!r}; known: {known}")
    removed = 0
    for each in spaces:
        old = unused_days is not None and time.time() - each.used > unused_days * DAY
        if old or (wanted is not None and each.has(wanted)):
            removed += delete_oldest(db, each.space, each.count)
    return removed


def shrink_to(db: sqlite3.Connection, max_bytes: int) -> int:
    """Remove the longest unused rows until the file has `max_bytes`; says how many."""
    removed = 0
    while True:
        page, pages = (pragma(db, name) for name in ("page_size", "page_count"))
        spaces = summary(db)
        surplus = page * pages - max_bytes
        if surplus <= 0 or not spaces:
            return removed
        oldest = spaces[-1]  # removed by what its values take; the rest shows in the next round
        removed += delete_oldest(db, oldest.space, -(-surplus // (4 * oldest.dim)))
        shrink(db)
