"""What the stores of features and of activations have in common: a file, its health, its room."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar, Self

from handful.errors import InputError, StorageError
from handful.features.store import common
from handful.features.store.common import Health, Pruned
from handful.features.store.database import Database, Layout, default_folder, is_damage

CURE = "`handful store prune --damaged`"


class Store(ABC):
    """Rows on disk by image digest; safe for several threads and processes, and against a kill.

    Args:
        path: the folder of the store; without it `default_folder()`. It is made when first
            needed. Where it cannot be written it is read, and `writable` says so.
    """

    layout: ClassVar[Layout]

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = Path(path).expanduser() if path is not None else default_folder()
        self._database = Database(self.path, self.layout)
        self.file = self._database.file

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes on the disk."""

    @abstractmethod
    def _look(self, db: sqlite3.Connection) -> tuple[int, Collection[str]]:
        """How many rows there are, and what is wrong with some of them."""

    @abstractmethod
    def _clear(
        self,
        db: sqlite3.Connection,
        wanted: str | None,
        unused_days: float | None,
        max_bytes: int | None,
        damaged: bool,
    ) -> int:
        """Remove what `prune` was asked to and shrink the file; how many rows that were."""

    @property
    def writable(self) -> bool:
        """Whether `put` can work here; a read-only store still answers."""
        with self._database.session("opening") as (_, writable):
            return writable

    def check(self) -> Health:
        """Read everything, the structure of the file and every row; changes nothing.

        A store that was never made is an empty one.
        """
        if common.is_missing(self.file):
            return Health(0, ())
        try:
            with self._database.session("checking") as (db, _):
                broken = common.structure(db)
                count, bad = self._look(db)
        except StorageError as error:
            if not is_damage(error.__cause__):
                raise
            return Health(0, (str(error),))
        whole = [f"the file: {line}; {CURE} makes room for a new one" for line in broken]
        return Health(count, (*whole, *bad))

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
            wanted: remove spaces with this key, encoder name, or `part:value` of the key.
            unused_days: remove spaces that nobody has used for so many days.
            max_bytes: what may be left; the longest unused spaces go first, whole ones, but that
                of features the oldest rows of the last one go.
            damaged: remove broken rows; where the structure of the file is broken, the file.

        Raises:
            InputError: nothing was asked for, there is no store, or no space is called `wanted`.
            StorageError: the store cannot be written.
        """
        if wanted is None and unused_days is None and max_bytes is None and not damaged:
            raise InputError("say what to prune: a space, unused_days, max_bytes or damaged")
        if common.is_missing(self.file):
            title = self.layout.title.partition(" ")[2]
            raise InputError(f"{self.path}: holds no {title}, so there is nothing to prune")
        size = self.size
        if damaged and self._is_broken():
            self._start_again()
        with self._database.session("pruning") as (db, writable):
            self._demand(writable)
            removed = self._clear(db, wanted, unused_days, max_bytes, damaged)
        return Pruned(removed, size - self.size)

    def close(self) -> None:
        """Let go of the file; the next call opens it again."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _demand(self, writable: bool) -> None:
        """Refuse to go on where nothing can be written.

        Raises:
            StorageError: with the cure.
        """
        if not writable:
            raise StorageError(
                f"{self.path}: {self.layout.title} cannot be written here; correct the "
                "permissions of the folder, or name another one in $HANDFUL_HOME"
            )

    def _is_broken(self) -> bool:
        try:
            with self._database.session("checking") as (db, _):
                return bool(common.structure(db))
        except StorageError as error:
            if not is_damage(error.__cause__):
                raise
            return True

    def _start_again(self) -> None:
        """Throw the file away; the next session makes an empty one."""
        self.close()
        common.remove(self.file.with_name(f"{self.file.name}-journal"))
        common.remove(self.file)
