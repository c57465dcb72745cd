"""The feature store: the values of the rows lie in the index itself, a few KiB each."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import UNIT_TOLERANCE, Array
from handful.errors import InputError
from handful.features.store import index
from handful.features.store.base import Store
from handful.features.store.database import Layout
from handful.features.store.spaces import DAY, Space
from handful.features.store.sqlite import pragma, transaction

FILE = "features.sqlite3"
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


class FeatureStore(Store):
    """Features on disk; safe for several threads and processes, and against being killed.

    Args:
        path: the folder of the store; without it `default_folder()`. It is made when first
            needed. Where it cannot be written it is read, and `writable` is false.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, FeatureStore(folder) as store:
    ...     store.put("model:a precision:float32", ["0" * 64], np.eye(2, dtype="f4")[:1])
    ...     store.get("model:a precision:float32", ["1" * 64, "0" * 64])
    (array([[1., 0.]], dtype=float32), array([False,  True]))
    """

    layout = Layout(
        file=FILE,
        title="a feature store",
        application_id=0x48464C31,  # "HFL1"
        format=1,
        schema=_SCHEMA,
        spaces="SELECT space, encoder, dim, 0, used, number FROM spaces",
        new_space="INSERT INTO spaces (space, dim, encoder, used) VALUES (?, ?, '', 0)",
        rows="SELECT id, value FROM rows",
    )
    damage = "are not finite, not of unit length or of the wrong width"
    fresh = DAY

    def put(self, space: str, ids: Sequence[str], values: Array, *, encoder: str = "") -> None:
        """Store a batch, all of it or nothing; it is on the disk when this returns.

        Args:
            space: see `space()`.
            ids: N image digests (64 hexadecimal digits).
            values: `[N, D]` unit rows; a row that is there already is replaced.
            encoder: name of the encoder, for `summary`.

        Raises:
            InputError: rows that are not finite, not of unit length, or of another width.
            StorageError: the disk is full, read-only or damaged; nothing of the batch is stored.
        """
        keys, rows = index.keys_of(ids), np.ascontiguousarray(values, dtype="<f4")
        if rows.ndim != 2 or len(rows) != len(keys) or not rows.size:
            raise InputError(f"expected features [{len(keys)}, D] to store, got {list(rows.shape)}")
        if not _is_unit(rows).all():
            raise InputError("features to store must be finite rows of length one; encode again")
        with self._database.writing("writing") as db, transaction(db):
            number = self._space_for(db, space, rows.shape[1:], encoder).number
            db.executemany(
                "INSERT INTO rows (space, id, value) VALUES (?, ?, ?) "
                "ON CONFLICT (space, id) DO UPDATE SET value = excluded.value",
                ((number, key, row.tobytes()) for key, row in zip(keys, rows, strict=True)),
            )

    def _load(
        self, space: Space, keys: Sequence[bytes], listed: dict[bytes, Any], into: Array
    ) -> NDArray[np.bool_]:
        blobs = {i: listed[key][0] for i, key in enumerate(keys) if key in listed}
        whole = [i for i, blob in blobs.items() if len(blob) == space.row_bytes]
        joined: Array = np.frombuffer(b"".join(blobs[i] for i in whole), dtype="<f4")
        rows = joined.reshape(-1, space.dim)
        into[whole] = rows
        found = np.zeros(len(keys), dtype=np.bool_)
        found[whole] = _is_unit(rows)
        return found

    def _data_files(self) -> list[Path]:
        return []

    def _damaged(self, db: sqlite3.Connection) -> dict[int, list[bytes]]:
        width = {each.number: each.row_bytes for each in index.spaces(db, self.layout)}
        damaged: dict[int, list[bytes]] = {}
        last = -1
        query = "SELECT number, space, id, value FROM rows WHERE number > ? ORDER BY number LIMIT ?"
        # in steps: one long query would keep every writer waiting until it ends
        while part := db.execute(query, [last, index.STEP]).fetchall():
            last = part[-1][0]
            for _, owner, key, value in part:
                if (
                    len(value) != width.get(owner)
                    or not _is_unit(np.frombuffer(value, dtype="<f4")[None])[0]
                ):
                    damaged.setdefault(owner, []).append(key)
        return damaged

    def _drop(self, db: sqlite3.Connection, space: Space) -> int:
        return self._delete_oldest(db, space, -1)  # no limit

    def _delete_oldest(self, db: sqlite3.Connection, space: Space, count: int) -> int:
        found = db.execute(
            "SELECT id FROM rows WHERE space = ? ORDER BY number LIMIT ?", [space.number, count]
        ).fetchall()
        return index.delete(db, space.number, [key for (key,) in found])

    def _shrink_to(self, db: sqlite3.Connection, max_bytes: int) -> int:
        removed = 0
        while spaces := index.spaces(db, self.layout):
            surplus = pragma(db, "page_size") * pragma(db, "page_count") - max_bytes
            if surplus <= 0:
                break
            # by what the values take; what keys and pages take beside shows in the next round
            oldest = spaces[-1]
            removed += self._delete_oldest(db, oldest, -(-surplus // oldest.row_bytes))
            self._tidy(db)
        return removed


def _is_unit(rows: Array) -> NDArray[np.bool_]:
    """`[N]`: which of `[N, D]` rows have length one; NaN and infinity have not."""
    squares: Array = np.einsum("nd,nd->n", rows, rows)
    # a length of 1 + t has the square 1 + 2 t, but for t squared
    return np.asarray(np.abs(squares - 1) <= 2 * UNIT_TOLERANCE, dtype=np.bool_)
