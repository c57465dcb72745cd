"""Activations on disk: what enters the first tuned block, for each image and each view of it.

A row is large (ViT-B/32: 154 kB), so rows lie in plain files, one a space, and SQLite only keeps
the index: where each row stands and its checksum. Removing a space is removing a file, which
takes no time and works on a full disk too. docs/store.md has the numbers.

Everything that changes a file happens while the index is locked for writing, so writers of any
number of processes queue up. Readers need no lock: a row that was removed or is being written over
fails its checksum.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Collection, Sequence
from itertools import count, repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError
from handful.features.store import index, row_file
from handful.features.store.base import Store
from handful.features.store.database import Layout
from handful.features.store.spaces import Space
from handful.features.store.sqlite import shrink, transaction

FILE = "activations.sqlite3"
FOLDER = "activations"
MAX_BYTES = 10_000_000_000  # bytes that are kept where `max_bytes` is not given
_SHARE = 10  # and not more than a tenth of what the disk has left
_SCHEMA = """
CREATE TABLE spaces (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    space TEXT NOT NULL UNIQUE,
    encoder TEXT NOT NULL,
    shape TEXT NOT NULL,
    filled INTEGER NOT NULL,
    used REAL NOT NULL
);
CREATE TABLE rows (
    space INTEGER NOT NULL,
    id BLOB NOT NULL,
    place INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (space, id)
) WITHOUT ROWID;
"""


class ActivationStore(Store):
    """Activations on disk; safe for several threads and processes, and against being killed.

    Args:
        path: the folder of the store, the one of the features; without it `default_folder()`.
        max_bytes: what all activations together may take. Longest unused spaces make room for new
            ones. Without it 10 GB, and at most a tenth of what the disk has left.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, ActivationStore(folder) as store:
    ...     store.put("model:a block:2", ["0" * 64], np.ones((1, 5, 3), dtype="f4"))
    ...     values, found = store.get("model:a block:2", ["1" * 64, "0" * 64])
    ...     print(values.shape, found)
    True
    (1, 5, 3) [False  True]
    """

    layout = Layout(
        file=FILE,
        title="an activation store",
        application_id=0x48464C41,  # "HFLA"
        format=1,
        schema=_SCHEMA,
        spaces="SELECT space, encoder, shape, filled, used, number FROM spaces",
        new_space=(
            "INSERT INTO spaces (space, shape, encoder, used, filled) VALUES (?, ?, '', 0, 0)"
        ),
        rows="SELECT id, place, checksum FROM rows",
    )
    damage = "of activations are cut short or changed"
    fresh = 60.0  # what was used longest ago makes room, so this has to be exact

    def __init__(self, path: str | Path | None = None, *, max_bytes: int | None = None) -> None:
        if max_bytes is not None and max_bytes < 0:
            raise InputError(f"expected max_bytes of 0 or more, got {max_bytes}")
        super().__init__(path)
        self.max_bytes = max_bytes

    @property
    def budget(self) -> int:
        """Bytes that all activations together may take now."""
        if self.max_bytes is not None:
            return self.max_bytes
        there = next((p for p in (self.path, *self.path.absolute().parents) if p.exists()), None)
        free = shutil.disk_usage(there).free if there else 0
        return min(MAX_BYTES, (free + self.size) // _SHARE)

    def put(
        self,
        space: str,
        ids: Sequence[str],
        values: Array,
        *,
        encoder: str = "",
        spare: Collection[str] = (),
    ) -> bool:
        """Store a batch, all of it or nothing; it is on the disk when this returns.

        A row that is there already is written over; a kill just then leaves that row unknown.

        Args:
            space: see `activation_space()`.
            ids: N different image digests (64 hexadecimal digits).
            values: `[N, ...]` finite float32 rows.
            encoder: name of the encoder, for `summary`.
            spare: spaces that must not make room for it, such as the other views.

        Returns:
            Whether it was kept: False where the budget has no room for it.

        Raises:
            InputError: rows that are not finite or of another shape than the space's.
            StorageError: the disk is full, read-only or damaged; nothing of the batch is stored.
        """
        keys, rows = index.keys_of(ids), np.ascontiguousarray(values, dtype="<f4")
        if rows.ndim < 2 or len(rows) != len(keys) or not rows.size:
            raise InputError(f"expected activations [{len(keys)}, ...], got {list(rows.shape)}")
        if not np.isfinite(rows).all():
            raise InputError("activations to store must be finite; compute them again")
        with self._database.writing("writing") as db:
            spaces = index.spaces(db, self.layout)
            surplus = sum(each.bytes for each in spaces) + rows.nbytes - self.budget
            others = [each for each in spaces if each.space not in {space, *spare}]
            if self._make_room(db, surplus, others) is None:
                return False
            with transaction(db):
                self._write(db, self._space_for(db, space, rows.shape[1:], encoder), keys, rows)
        return True

    def _write(self, db: sqlite3.Connection, space: Space, keys: list[bytes], rows: Array) -> None:
        """Write rows `[N, ...]` and list them; within a transaction."""
        file, filled = self._data_file(space), space.filled
        if row_file.length(file) < space.bytes:  # lost or cut short: nothing in it can be trusted
            db.execute("DELETE FROM rows WHERE space = ?", [space.number])
            filled = 0
        known = index.select(db, self.layout, space, keys)
        behind = count(filled)  # new rows go behind those that are there
        places = [known[key][0] if key in known else next(behind) for key in keys]
        row_file.write(file, places, rows, before=filled * space.row_bytes)
        db.executemany(
            "INSERT OR REPLACE INTO rows (space, id, place, checksum) VALUES (?, ?, ?, ?)",
            (
                (space.number, key, place, row_file.checksum(key, row))
                for key, place, row in zip(keys, places, rows, strict=True)
            ),
        )
        db.execute("UPDATE spaces SET filled = ? WHERE number = ?", [next(behind), space.number])

    def _load(
        self, space: Space, keys: Sequence[bytes], listed: dict[bytes, Any], into: Array
    ) -> NDArray[np.bool_]:
        # in the order of the file, which a disk reads fastest
        order = sorted((*listed[key], i) for i, key in enumerate(keys) if key in listed)
        where = [i for _, _, i in order]
        rows = [(keys[i], place, checksum) for place, checksum, i in order]
        found = np.zeros(len(keys), dtype=np.bool_)
        found[where] = row_file.read(self._data_file(space), rows, (into[i] for i in where))
        return found

    def _data_file(self, space: Space) -> Path:
        return self.path / FOLDER / f"{space.number}.f32"

    def _data_files(self) -> list[Path]:
        return sorted((self.path / FOLDER).glob("*.f32"))

    def _damaged(self, db: sqlite3.Connection) -> dict[int, list[bytes]]:
        damaged = {}
        for space in index.spaces(db, self.layout):
            rows = db.execute(
                "SELECT id, place, checksum FROM rows WHERE space = ? ORDER BY place",
                [space.number],
            ).fetchall()
            one: Array = np.empty(space.shape, dtype="<f4")
            sound = row_file.read(self._data_file(space), rows, repeat(one))
            bad = [key for (key, _, _), good in zip(rows, sound, strict=True) if not good]
            if bad:
                damaged[space.number] = bad
        return damaged

    def _drop(self, db: sqlite3.Connection, space: Space) -> int:
        with transaction(db):
            # the file first: on a full disk that makes the room which the index needs
            row_file.remove(self._data_file(space))
            db.execute("DELETE FROM rows WHERE space = ?", [space.number])
            db.execute("DELETE FROM spaces WHERE number = ?", [space.number])
        return space.count

    def _make_room(
        self, db: sqlite3.Connection, surplus: int, spaces: Sequence[Space]
    ) -> int | None:
        """Drop spaces from the end until so many bytes are free; rows dropped, None: not enough."""
        removed, left = 0, list(spaces)
        if surplus > sum(space.bytes for space in left):
            return None
        while surplus > 0:
            surplus -= left[-1].bytes
            removed += self._drop(db, left.pop())
        return removed

    def _shrink_to(self, db: sqlite3.Connection, max_bytes: int) -> int:
        spaces = index.spaces(db, self.layout)
        surplus = sum(space.bytes for space in spaces) - max_bytes
        removed = self._make_room(db, surplus, spaces)
        shrink(db)
        return removed or 0
