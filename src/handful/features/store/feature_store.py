"""The feature store: rows in, rows out."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError
from handful.features.store import common, upkeep
from handful.features.store.base import CURE, Store
from handful.features.store.database import Layout, transaction

FILE = "features.sqlite3"
_ASKED = 500  # keys in one question; the time is flat from 100 to 2000
_SCHEMA = """
CREATE TABLE spaces (
    number INTEGER PRIMARY KEY,
    space TEXT NOT NULL UNIQUE,
    encoder TEXT NOT NULL,
    dim INTEGER NOT NULL,
    used REAL NOT NULL
);
CREATE TABLE rows (
    number INTEGER PRIMARY KEY,
    space INTEGER NOT NULL,
    id BLOB NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (space, id)
);
"""
_LAYOUT = Layout(FILE, "a feature store", 0x48464C31, 1, _SCHEMA)  # "HFL1"


class FeatureStore(Store):
    """Features on disk; safe for several threads and processes, and against being killed.

    Args:
        path: the folder of the store; without it `default_folder()`. It is made when first
            needed. Where it cannot be written it is read, and `writable` says so.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, FeatureStore(folder) as store:
    ...     store.put("model:a precision:float32", ["0" * 64], np.eye(2, dtype="f4")[:1])
    ...     store.get("model:a precision:float32", ["1" * 64, "0" * 64])
    (array([[1., 0.]], dtype=float32), array([False,  True]))
    """

    layout = _LAYOUT

    def get(self, space: str, ids: Sequence[str]) -> tuple[Array, NDArray[np.bool_]]:
        """Known rows among N image digests.

        A row that is not finite, not of unit length or of the wrong width counts as unknown, so
        that it is computed and stored again.

        Returns:
            `[K, D]` float32 rows in the order of `ids`, and `[N]`: whether each id is known.
        """
        keys = common.keys_of(ids)
        slots = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        with self._database.session("reading") as (db, writable):
            with transaction(db, "DEFERRED"):  # one state of the file for both questions
                known = db.execute("SELECT number, dim, used FROM spaces WHERE space = ?", [space])
                number, dim, used = known.fetchone() or (0, 0, 0.0)
                rows: Array = np.zeros((len(slots), dim), dtype="<f4")
                if rows.size:
                    room, width = rows.data.cast("B"), 4 * dim
                    for key, value in _ask(db, number, list(slots)):
                        if len(value) == width:
                            at = slots[key] * width
                            room[at : at + width] = value
            if number and writable and time.time() - used > common.DAY:
                with suppress(sqlite3.OperationalError):  # reading must not fail for a note
                    db.execute("UPDATE spaces SET used = ? WHERE number = ?", [time.time(), number])
        places = np.array([slots[key] for key in keys], dtype=np.int64)
        found: NDArray[np.bool_] = upkeep.is_unit(rows)[places]
        return rows[places[found]], found

    def put(self, space: str, ids: Sequence[str], values: Array, *, encoder: str = "") -> None:
        """Store a batch, all of it or nothing; it is on the disk when this returns.

        Args:
            space: see `space()`.
            ids: N image digests (64 hexadecimal digits).
            values: `[N, D]` unit rows; a row that is there already is replaced.
            encoder: the name people know the encoder by, for `summary`.

        Raises:
            InputError: rows that are not finite, not of unit length, or of another width.
            StorageError: the disk is full, read-only or damaged; nothing of the batch is stored.
        """
        keys, rows = common.keys_of(ids), np.ascontiguousarray(values, dtype="<f4")
        if rows.ndim != 2 or len(rows) != len(keys) or not rows.size:
            raise InputError(f"expected features [{len(keys)}, D] to store, got {list(rows.shape)}")
        if not upkeep.is_unit(rows).all():
            raise InputError("features to store must be finite rows of length one; encode again")
        with self._database.session("writing") as (db, writable):
            self._demand(writable)
            with transaction(db):
                number = _number(db, space, encoder, rows.shape[1])
                db.executemany(
                    "INSERT INTO rows (space, id, value) VALUES (?, ?, ?) "
                    "ON CONFLICT (space, id) DO UPDATE SET value = excluded.value",
                    ((number, key, row.tobytes()) for key, row in zip(keys, rows, strict=True)),
                )

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.file.stat().st_size if self.file.is_file() else 0

    def summary(self) -> tuple[upkeep.Space, ...]:
        """What is in the store, the last used space first; nothing where there is no store yet."""
        if common.is_missing(self.file):
            return ()
        with self._database.session("reading") as (db, _):
            return upkeep.summary(db)

    def _look(self, db: sqlite3.Connection) -> tuple[int, list[str]]:
        counted = db.execute("SELECT count(*) FROM rows").fetchone()[0]
        return counted, [
            f"{key}: {len(numbers)} of {counted} rows are not finite, not of unit length or of "
            f"the wrong width; {CURE} removes them"
            for key, numbers in upkeep.bad_rows(db).items()
        ]

    def _clear(
        self,
        db: sqlite3.Connection,
        wanted: str | None,
        unused_days: float | None,
        max_bytes: int | None,
        damaged: bool,
    ) -> int:
        removed = 0
        if damaged:
            removed += sum(upkeep.delete_rows(db, n) for n in upkeep.bad_rows(db).values())
        if wanted is not None or unused_days is not None:
            removed += upkeep.delete_unwanted(db, wanted, unused_days)
        common.shrink(db)
        if max_bytes is not None:
            removed += upkeep.shrink_to(db, max_bytes)
        return removed


def _ask(db: sqlite3.Connection, number: int, keys: list[bytes]) -> Iterator[tuple[bytes, Any]]:
    for start in range(0, len(keys), _ASKED):
        part = keys[start : start + _ASKED]
        marks = ",".join("?" * len(part))
        question = f"SELECT id, value FROM rows WHERE space = ? AND id IN ({marks})"  # noqa: S608
        yield from db.execute(question, [number, *part])


def _number(db: sqlite3.Connection, space: str, encoder: str, dim: int) -> int:
    """The number of a space, which is made when it is new."""
    row = db.execute("SELECT number, dim FROM spaces WHERE space = ?", [space]).fetchone()
    if row is None:
        values = [space, encoder, dim, time.time()]
        made = db.execute(
            "INSERT INTO spaces (space, encoder, dim, used) VALUES (?, ?, ?, ?)", values
        )
        return int(made.lastrowid or 0)
    if row[1] != dim:
        raise InputError(f"expected features of width {row[1]} in this space, got {dim}: {space}")
    if encoder:
        db.execute("UPDATE spaces SET encoder = ? WHERE number = ?", [encoder, row[0]])
    return int(row[0])
