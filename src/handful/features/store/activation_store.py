"""Activations on disk: what enters the first tuned block, for each image and each view of it.

A row is large (ViT-B/32: 154 kB), so rows lie in plain files, one a space, and SQLite only keeps
the index: where each row stands and its checksum. Removing a space is removing a file, which
takes no time and works on a full disk too. docs/store.md has the numbers.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError
from handful.features.store import common, row_file, row_files
from handful.features.store.base import CURE, Store
from handful.features.store.database import Layout, transaction
from handful.features.store.row_files import Room

FILE = "activations.sqlite3"
LARGEST = 10_000_000_000  # bytes that are kept where nobody says how many
_SHARE = 10  # and not more than a tenth of what the disk has left
_FRESH = 60.0  # seconds for which a space counts as just used
_LAYOUT = Layout(FILE, "an activation store", 0x48464C41, 1, row_files.SCHEMA)  # "HFLA"


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

    layout = _LAYOUT

    def __init__(self, path: str | Path | None = None, *, max_bytes: int | None = None) -> None:
        if max_bytes is not None and max_bytes < 0:
            raise InputError(f"expected max_bytes of 0 or more, got {max_bytes}")
        super().__init__(path)
        self.max_bytes = max_bytes

    def shape(self, space: str) -> tuple[int, ...] | None:
        """Shape of one row of a space; None where nothing is kept of it."""
        with self._database.session("reading") as (db, _):
            room = row_files.find(db, space)
        return None if room is None else room.shape

    def get(self, space: str, ids: Sequence[str]) -> tuple[Array, NDArray[np.bool_]]:
        """Known rows among N image digests.

        Returns:
            `[K, ...]` float32 rows in the order of `ids`, and `[N]`: whether each id is known.
        """
        values: Array = np.empty((len(ids), *(self.shape(space) or (0,))), dtype=np.float32)
        found = self.read(space, ids, values)
        return (values if found.all() else values[found]), found

    def read(self, space: str, ids: Sequence[str], into: Array) -> NDArray[np.bool_]:
        """Read known rows of N image digests straight into their places.

        A row that is cut short or whose checksum is wrong counts as unknown.

        Args:
            space: see `activation_space()`.
            ids: N image digests.
            into: `[N, ...]` float32; each `into[i]` contiguous. Rows of unknown digests are left
                with anything.

        Returns:
            `[N]`: whether each id is known.
        """
        keys = common.keys_of(ids)
        found = np.zeros(len(keys), dtype=np.bool_)
        with self._database.session("reading") as (db, writable):
            with transaction(db, "DEFERRED"):  # one state of the file for both questions
                room = row_files.find(db, space)
                if room is None or room.shape != into.shape[1:]:
                    return found
                places = row_files.places(db, room.number, keys)
            if writable and time.time() - room.used > _FRESH:
                with suppress(sqlite3.OperationalError):  # reading must not fail for a note
                    row_files.touch(db, room.number)
        file = row_file.data_file(self.path, room.number)
        wanted = sorted((places[key], i) for i, key in enumerate(keys) if key in places)
        for i in row_file.read(file, room.width, [(*at, keys[i], i) for at, i in wanted], into):
            found[i] = True
        return found

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
            encoder: the name people know the encoder by, for `summary`.
            spare: spaces that must not make room for it, such as the other views.

        Returns:
            Whether it was kept: False where the budget has no room for it.

        Raises:
            InputError: rows that are not finite or of another shape than the space's.
            StorageError: the disk is full, read-only or damaged; nothing of the batch is stored.
        """
        keys, rows = common.keys_of(ids), np.ascontiguousarray(values, dtype="<f4")
        if rows.ndim < 2 or len(rows) != len(keys) or not rows.size:
            raise InputError(f"expected activations [{len(keys)}, ...], got {list(rows.shape)}")
        if not np.isfinite(rows).all():
            raise InputError("activations to store must be finite; compute them again")
        with self._database.session("writing") as (db, writable):
            self._demand(writable)
            rooms = row_files.summary(db)
            surplus = sum(room.bytes for room in rooms) + rows.nbytes - self.budget
            others = [room for room in rooms if room.space not in {space, *spare}]
            if row_files.make_room(db, self.path, surplus, others) is None:
                return False
            with transaction(db):
                room = row_files.find(db, space) or row_files.make(
                    db, self.path, space, rows.shape[1:]
                )
                if room.shape != rows.shape[1:]:
                    raise InputError(
                        f"expected activations {list(room.shape)} in this space, "
                        f"got {list(rows.shape[1:])}: {space}"
                    )
                row_files.write(db, self.path, room, keys, rows)
                row_files.touch(db, room.number, encoder)
        return True

    @property
    def size(self) -> int:
        """Bytes on the disk, the index included."""
        files = [self.file, *row_file.data_files(self.path)]
        return sum(row_file.length(file) for file in files)

    @property
    def budget(self) -> int:
        """Bytes that all activations together may take now."""
        if self.max_bytes is not None:
            return self.max_bytes
        there = next((p for p in (self.path, *self.path.absolute().parents) if p.exists()), None)
        free = shutil.disk_usage(there).free if there else 0
        return min(LARGEST, (free + self.size) // _SHARE)

    def summary(self) -> tuple[Room, ...]:
        """What is in the store, the last used space first; nothing where there is no store yet."""
        if common.is_missing(self.file):
            return ()
        with self._database.session("reading") as (db, _):
            return row_files.summary(db)

    def _look(self, db: sqlite3.Connection) -> tuple[int, list[str]]:
        rooms = row_files.summary(db)
        bad = {room: row_files.bad_rows(db, self.path, room) for room in rooms}
        return sum(room.count for room in rooms), [
            f"{room.space}: {len(keys)} of {room.count} rows of activations are cut short or "
            f"changed; {CURE} removes them"
            for room, keys in bad.items()
            if keys
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
        rooms = row_files.summary(db)
        gone = row_files.unwanted(rooms, wanted, unused_days)
        if damaged:
            removed += sum(row_files.forget_bad(db, self.path, room) for room in rooms)
        removed += sum(row_files.drop(db, self.path, room) for room in gone)
        if max_bytes is not None:
            rooms = row_files.summary(db)
            surplus = sum(room.bytes for room in rooms) - max_bytes
            removed += row_files.make_room(db, self.path, surplus, rooms) or 0
        with transaction(db):  # nobody else is just making one
            row_files.sweep(db, self.path)
        common.shrink(db)
        return removed
