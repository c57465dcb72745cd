"""One design for both stores: an SQLite index of spaces and of the rows in them.

A row is found by its space and the digest of its image. The stores differ in where the values lie
(in the index, or in a file for each space), in what makes a row damaged, and in what they remove
first when room is needed; those are the abstract methods. One class, and so a longer file than
most: all that a store does can be read here.
"""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from handful.contracts import Array
from handful.errors import InputError, StorageError
from handful.features.store import index
from handful.features.store.database import Database, Layout, default_folder
from handful.features.store.row_file import length, remove
from handful.features.store.spaces import Space, unwanted
from handful.features.store.sqlite import integrity, is_damage, shrink, transaction

_CURE = "`handful store prune --damaged`"


@dataclass(frozen=True)
class Health:
    """How many rows a check read and what it found; no problems is healthy."""

    rows: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Pruned:
    """What was removed.

    Args:
        rows: how many rows.
        bytes: by how much the files shrank.
        replaced: whether a file was so damaged that an empty one is in its place.
    """

    rows: int
    bytes: int
    replaced: bool = False


class Store(ABC):
    """Rows on disk by image digest; safe for several threads and processes, and against a kill.

    Args:
        path: the folder of the store; without it `default_folder()`. It is made when first
            needed. Where it cannot be written it is read, and `writable` is false.
    """

    layout: ClassVar[Layout]
    damage: ClassVar[str]  # how `check` calls what is wrong with a row
    fresh: ClassVar[float]  # seconds for which a space counts as just used: saves writes

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path).expanduser() if path is not None else default_folder()
        self._database = Database(self.path, self.layout)
        self.file = self._database.file

    @abstractmethod
    def _load(
        self, space: Space, keys: Sequence[bytes], listed: dict[bytes, Any], into: Array
    ) -> NDArray[np.bool_]:
        """Put the sound rows among N keys into `[N, ...]`; `[N]`: which are there and sound."""

    @abstractmethod
    def _data_files(self) -> list[Path]:
        """Files of rows beside the index, each named by the number of its space."""

    @abstractmethod
    def _damaged(self, db: sqlite3.Connection) -> dict[int, list[bytes]]:
        """Keys of the damaged rows, by the number of their space."""

    @abstractmethod
    def _drop(self, db: sqlite3.Connection, space: Space) -> int:
        """Remove the rows of a space and return how many it had."""

    @abstractmethod
    def _shrink_to(self, db: sqlite3.Connection, max_bytes: int) -> int:
        """Remove the longest unused until `max_bytes` are left; return how many rows that were."""

    @property
    def size(self) -> int:
        """Bytes on the disk, the index included."""
        return sum(length(file) for file in (self.file, *self._data_files()))

    @property
    def writable(self) -> bool:
        """Whether `put` can work here; a read-only store still answers."""
        with self._database.session("opening") as (_, writable):
            return writable

    def shape(self, space: str) -> tuple[int, ...] | None:
        """Shape of one row of a space; None where nothing is kept of it."""
        with self._database.session("reading") as (db, _):
            found = index.find(db, self.layout, space)
        return None if found is None else found.shape

    def get(self, space: str, ids: Sequence[str]) -> tuple[Array, NDArray[np.bool_]]:
        """Known rows among N image digests; a damaged row counts as unknown.

        Returns:
            `[K, ...]` float32 rows in the order of `ids`, and `[N]`: whether each id is known.
        """
        values: Array = np.empty((len(ids), *(self.shape(space) or (0,))), dtype=np.float32)
        found = self.read(space, ids, values)
        return (values if found.all() else values[found]), found

    def read(self, space: str, ids: Sequence[str], into: Array) -> NDArray[np.bool_]:
        """Read known rows of N image digests straight into their places.

        Args:
            space: see `space()` and `activation_space()`.
            ids: N image digests.
            into: `[N, ...]` float32; each `into[i]` contiguous. Rows of unknown digests are left
                with anything.

        Returns:
            `[N]`: whether each id is known.
        """
        keys = index.keys_of(ids)
        found = np.zeros(len(keys), dtype=np.bool_)
        for start in range(0, len(keys), index.STEP):
            part = slice(start, start + index.STEP)
            with self._database.session("reading") as (db, writable):
                with transaction(db, "DEFERRED"):  # one state of the index for both questions
                    known = index.find(db, self.layout, space)
                    if known is None or known.shape != into.shape[1:]:
                        break
                    listed = index.select(db, self.layout, known, keys[part])
                if writable and time.time() - known.used > self.fresh:
                    with suppress(sqlite3.OperationalError):  # reading must not fail for a note
                        index.touch(db, known)
            # outside the session: large files must not keep other threads waiting
            found[part] = self._load(known, keys[part], listed, into[part])
        return found

    def _space_for(
        self, db: sqlite3.Connection, key: str, shape: tuple[int, ...], encoder: str
    ) -> Space:
        """The space to write rows of a shape to, made where it is new; within a transaction."""
        space = index.find(db, self.layout, key)
        if space is None:
            self._remove_unlisted(db)  # an old file could have the number of the new space
            space = index.make(db, self.layout, key, shape)
        if space.shape != shape:
            raise InputError(
                f"expected rows {list(space.shape)} in this space, got {list(shape)}: {key}"
            )
        index.touch(db, space, encoder)
        return space

    def summary(self) -> tuple[Space, ...]:
        """What is in the store, the last used space first; nothing where there is no store yet."""
        if self._database.is_missing():
            return ()
        with self._database.session("reading") as (db, _):
            return index.spaces(db, self.layout)

    def check(self) -> Health:
        """Read everything, the structure of the file and every row; changes nothing.

        A store that was never made is an empty one.
        """
        if self._database.is_missing():
            return Health(0, ())
        try:
            with self._database.session("checking") as (db, _):
                broken = integrity(db)
                spaces = {space.number: space for space in index.spaces(db, self.layout)}
                count = db.execute("SELECT count(*) FROM rows").fetchone()[0]
                damaged = self._damaged(db)
        except StorageError as error:
            if not is_damage(error.__cause__):
                raise
            return Health(0, (str(error),))
        problems = [f"the file: {line}; {_CURE} makes room for a new one" for line in broken]
        for number, keys in damaged.items():
            space = spaces.get(number)  # none where the index has lost it
            key, of = (space.space, space.count) if space else ("rows of no space", len(keys))
            problems.append(f"{key}: {len(keys)} of {of} rows {self.damage}; {_CURE} removes them")
        return Health(count, tuple(problems))

    def prune(
        self,
        wanted: str | None = None,
        *,
        unused_days: float | None = None,
        max_bytes: int | None = None,
        damaged: bool = False,
    ) -> Pruned:
        """Remove rows and shrink the file; what is missed later is computed again.

        Args:
            wanted: remove spaces with this key, encoder name, or `name:value` of the key.
            unused_days: remove spaces that have not been used for so many days.
            max_bytes: what may be left; the longest unused spaces go first. Spaces of activations
                go whole, of features the oldest rows of the last one.
            damaged: remove broken rows; where the structure of the file is broken, the file.

        Raises:
            InputError: nothing was asked for, there is no store, or no space is called `wanted`.
            StorageError: the store cannot be written.
        """
        if wanted is None and unused_days is None and max_bytes is None and not damaged:
            raise InputError("say what to prune: a space, unused_days, max_bytes or damaged")
        if self._database.is_missing():
            title = self.layout.title.partition(" ")[2]
            raise InputError(f"{self.path}: holds no {title}, so there is nothing to prune")
        size = self.size
        replaced = damaged and self._database.is_broken()
        if replaced:
            self.close()
            remove(self.file.with_name(f"{self.file.name}-journal"))
            remove(self.file)  # the next session makes an empty one
        with self._database.writing("pruning") as db:
            spaces = index.spaces(db, self.layout)
            removed = sum(self._drop(db, each) for each in unwanted(spaces, wanted, unused_days))
            if damaged:
                for number, keys in self._damaged(db).items():
                    removed += index.delete(db, number, keys)
            self._tidy(db)
            if max_bytes is not None:
                removed += self._shrink_to(db, max_bytes)
        return Pruned(removed, size - self.size, replaced)

    def _tidy(self, db: sqlite3.Connection) -> None:
        """Remove spaces and files that nothing is left of, and give free pages back."""
        with transaction(db):  # so that no process is just writing the first rows of a space
            db.execute(
                "DELETE FROM spaces "
                "WHERE NOT EXISTS (SELECT 1 FROM rows WHERE rows.space = spaces.number)"
            )
            self._remove_unlisted(db)
        shrink(db)

    def _remove_unlisted(self, db: sqlite3.Connection) -> None:
        """Remove files of spaces that the index does not list: of a batch killed in the middle."""
        listed = {str(number) for (number,) in db.execute("SELECT number FROM spaces")}
        for file in self._data_files():
            if file.stem not in listed:
                remove(file)

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
