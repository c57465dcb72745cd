"""The files of the activations: a *room* is one space's file of rows, listed in the index.

Everything that changes a room happens while the index is locked for writing, so writers of any
number of processes queue up. Readers need no lock: a row that was removed or is being written over
fails its checksum.
"""

from __future__ import annotations

import math
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handful.contracts import Array
from handful.errors import InputError
from handful.features.store import row_file
from handful.features.store.common import DAY, part, remove
from handful.features.store.database import transaction

SCHEMA = """
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
_ASKED = 500  # keys in one question


@dataclass(frozen=True)
class Room:
    """What the store holds of one space of activations.

    Args:
        space: the key.
        encoder: the name people know the encoder by, `""` where nobody told.
        shape: of one row.
        count: rows that can be found.
        filled: rows that the file has place for; what comes next is written behind them.
        used: when it was last used, in seconds since 1970.
        number: of its file.
    """

    space: str
    encoder: str
    shape: tuple[int, ...]
    count: int
    filled: int
    used: float
    number: int

    @property
    def width(self) -> int:
        """Bytes of a row."""
        return 4 * int(np.prod(self.shape))

    @property
    def bytes(self) -> int:
        """Bytes of all rows."""
        return self.width * self.filled

    def part(self, name: str) -> str:
        """`part:value` of the key, such as `block`; `""` where it has none."""
        return part(self.space, name)

    def has(self, wanted: str) -> bool:
        """Whether `wanted` is its key, its encoder's name, or one `part:value` of its key."""
        return wanted in (self.space, self.encoder) or wanted in self.space.split()


def summary(db: sqlite3.Connection) -> tuple[Room, ...]:
    """Every room, the last used first."""
    return tuple(_rooms(db, "1 ORDER BY used DESC, number DESC", []))


def find(db: sqlite3.Connection, space: str) -> Room | None:
    """The room of a space, if there is one."""
    return next(_rooms(db, "space = ?", [space]), None)


def _rooms(db: sqlite3.Connection, which: str, values: list[str]) -> Iterator[Room]:
    question = (
        "SELECT space, encoder, shape, filled, used, number, "
        "(SELECT count(*) FROM rows WHERE rows.space = spaces.number) FROM spaces WHERE "
    )
    for space, encoder, shape, filled, used, number, count in db.execute(
        question + which, values
    ).fetchall():
        sides = tuple(int(side) for side in shape.split(","))
        yield Room(space, encoder, sides, count, filled, used, number)


def make(db: sqlite3.Connection, folder: Path, space: str, shape: tuple[int, ...]) -> Room:
    """List a new, empty room; files that no room owns go."""
    sweep(db, folder)
    values = [space, ",".join(map(str, shape)), time.time()]
    db.execute(
        "INSERT INTO spaces (space, encoder, shape, filled, used) VALUES (?, '', ?, 0, ?)", values
    )
    return next(_rooms(db, "space = ?", [space]))


def touch(db: sqlite3.Connection, number: int, encoder: str = "") -> None:
    """Note that a room is in use, and whose it is."""
    db.execute(
        "UPDATE spaces SET used = ?, encoder = CASE ? WHEN '' THEN encoder ELSE ? END "
        "WHERE number = ?",
        [time.time(), encoder, encoder, number],
    )


def places(db: sqlite3.Connection, number: int, keys: list[bytes]) -> dict[bytes, tuple[int, int]]:
    """(place, checksum) of the known among some keys."""
    known: dict[bytes, tuple[int, int]] = {}
    for start in range(0, len(keys), _ASKED):
        asked = keys[start : start + _ASKED]
        marks = ",".join("?" * len(asked))
        question = f"SELECT id, place, checksum FROM rows WHERE space = ? AND id IN ({marks})"  # noqa: S608
        for key, place, checksum in db.execute(question, [number, *asked]):
            known[key] = (place, checksum)
    return known


def write(db: sqlite3.Connection, folder: Path, room: Room, keys: list[bytes], rows: Array) -> None:
    """Write rows `[N, ...]` and list them; within a transaction."""
    file = row_file.data_file(folder, room.number)
    filled = room.filled
    if row_file.length(file) < room.bytes:  # lost or cut short: nothing in it can be trusted
        db.execute("DELETE FROM rows WHERE space = ?", [room.number])
        filled = 0
    known = places(db, room.number, keys)
    new = [key for key in keys if key not in known]
    place_of = {key: filled + i for i, key in enumerate(new)}
    place_of |= {key: place for key, (place, _) in known.items()}
    with row_file.writing(file, filled * room.width) as opened:
        for key, row in zip(keys, rows, strict=True):
            opened.seek(place_of[key] * room.width)
            row_file.pour(opened, memoryview(row).cast("B"))
        os.fsync(opened.fileno())
    db.executemany(
        "INSERT OR REPLACE INTO rows (space, id, place, checksum) VALUES (?, ?, ?, ?)",
        (
            (room.number, key, place_of[key], row_file.checksum(key, row))
            for key, row in zip(keys, rows, strict=True)
        ),
    )
    db.execute("UPDATE spaces SET filled = ? WHERE number = ?", [filled + len(new), room.number])


def unwanted(rooms: Sequence[Room], wanted: str | None, unused_days: float | None) -> list[Room]:
    """Rooms called `wanted` and rooms not used for so many days.

    Raises:
        InputError: nothing is called so.
    """
    if wanted is not None and not any(room.has(wanted) for room in rooms):
        known = ", ".join(sorted({room.encoder or room.space for room in rooms})) or "none"
        raise InputError(f"no activations of anything called {wanted!r}; known: {known}")
    oldest = math.inf if unused_days is None else unused_days * DAY
    return [
        room
        for room in rooms
        if time.time() - room.used > oldest or (wanted is not None and room.has(wanted))
    ]


def make_room(
    db: sqlite3.Connection, folder: Path, surplus: int, rooms: Sequence[Room]
) -> int | None:
    """Drop rooms from the end until so many bytes are free; rows dropped, None: not enough."""
    removed, left = 0, list(rooms)
    if surplus > sum(room.bytes for room in left):
        return None
    while surplus > 0:
        surplus -= left[-1].bytes
        removed += drop(db, folder, left.pop())
    return removed


def drop(db: sqlite3.Connection, folder: Path, room: Room) -> int:
    """Remove a room; says how many rows it had.

    The file goes first: on a full disk that makes the room which the index needs to forget it.
    """
    with transaction(db):
        remove(row_file.data_file(folder, room.number))
        db.execute("DELETE FROM rows WHERE space = ?", [room.number])
        db.execute("DELETE FROM spaces WHERE number = ?", [room.number])
    return room.count


def sweep(db: sqlite3.Connection, folder: Path) -> None:
    """Remove files of rooms that the index does not list: of a batch killed in the middle."""
    listed = {row_file.data_file(folder, row[0]) for row in db.execute("SELECT number FROM spaces")}
    for file in row_file.data_files(folder):
        if file not in listed:
            remove(file)


def bad_rows(db: sqlite3.Connection, folder: Path, room: Room) -> list[bytes]:
    """Keys of the rows that are cut short or changed."""
    listed = db.execute(
        "SELECT place, checksum, id FROM rows WHERE space = ? ORDER BY place", [room.number]
    ).fetchall()
    row: Array = np.empty((1, *room.shape), dtype="<f4")
    bad = []
    for place, checksum, key in listed:
        wanted = [(place, checksum, key, 0)]
        if not list(
            row_file.read(row_file.data_file(folder, room.number), room.width, wanted, row)
        ):
            bad.append(key)
    return bad


def forget_bad(db: sqlite3.Connection, folder: Path, room: Room) -> int:
    """Take broken rows off the index, and the room when nothing is left; says how many."""
    bad = bad_rows(db, folder, room)
    if len(bad) == room.count:
        return drop(db, folder, room)
    with transaction(db):
        values = [(room.number, key) for key in bad]
        db.executemany("DELETE FROM rows WHERE space = ? AND id = ?", values)
    return len(bad)
