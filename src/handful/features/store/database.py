"""The SQLite file of a store: where it lies, how it is opened, what its errors mean.

SQLite with a rollback journal: a commit is on the disk or it never was, writers of any number of
processes queue up, and reading needs neither a writable folder nor a second file. docs/store.md
has the comparison with other libraries.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from handful.errors import StorageError
from handful.features.store.sqlite import (
    WAIT,
    failures,
    integrity,
    is_damage,
    pragma,
    transaction,
)

_PAGE = 32_768  # 15 rows of 512 float32 a page; at SQLite's usual 4096 half of each page is air
_MAPPED = 0x7FFF0000  # as much of the file as SQLite will map


@dataclass(frozen=True)
class Layout:
    """What the file of one kind of store is.

    Args:
        file: its name in the folder.
        title: what errors call it, with an article.
        application_id: in its header, distinguishes it from any other SQLite file.
        format: the newest that this version reads; `user_version` in its header.
        schema: SQL that makes its tables, `spaces` and `rows`.
        spaces: SQL that reads spaces: key, encoder, sides of a row, rows filled, used, number.
        new_space: SQL that adds a space, given its key and the sides of a row.
        rows: SQL that reads rows: the digest of the image, then what finds its values.
    """

    file: str
    title: str
    application_id: int
    format: int
    schema: str
    spaces: str
    new_space: str
    rows: str


def default_folder() -> Path:
    """`$HANDFUL_HOME`, or `handful` in the folder where this system keeps a user's caches.

    Raises:
        StorageError: there is neither.
    """
    home = os.environ.get("HANDFUL_HOME")
    if home:
        return Path(home).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    if cache and Path(cache).is_absolute():  # XDG specification: ignore a relative one
        return Path(cache) / "handful"
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "handful"
    try:
        home_folder = Path.home()
    except RuntimeError as error:  # a container's user may have none
        raise StorageError(
            "this user has no home folder to keep features in; name a folder in $HANDFUL_HOME"
        ) from error
    below = {"darwin": "Library/Caches", "win32": "AppData/Local"}.get(sys.platform, ".cache")
    return home_folder / below / "handful"


def connect(folder: Path, layout: Layout) -> tuple[sqlite3.Connection, bool]:
    """Open the file in a folder, making both where that is possible.

    Returns:
        The connection, and whether it can be written. Where there is nothing to read and no place
        to write, an empty store in memory that is not writable.

    Raises:
        StorageError: not our file, damaged, from a newer format, or locked for too long.
    """
    file = folder / layout.file
    with failures(file, "opening"):
        writable = _writable(folder, file, layout)
        in_memory = not writable and not file.exists()
        address = f"{file.absolute().as_uri()}?mode={'rwc' if writable else 'ro'}"
        db = sqlite3.connect(
            ":memory:" if in_memory else address,
            uri=True,
            timeout=WAIT,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            db.execute(f"PRAGMA mmap_size={_MAPPED}")
            if writable or in_memory:
                _prepare(db, layout)
            _check_format(db, file, layout)
        except BaseException:
            db.close()
            raise
        return db, writable


def _writable(folder: Path, file: Path, layout: Layout) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StorageError(f"{folder}: is a file; {layout.title} needs a folder") from error
    except OSError:
        return False
    return os.access(folder, os.W_OK) and (not file.exists() or os.access(file, os.W_OK))


def _prepare(db: sqlite3.Connection, layout: Layout) -> None:
    """Make the tables of a new file; two processes may meet here."""
    db.execute("PRAGMA synchronous=FULL")
    # a process that was killed below leaves a file with a head and no tables, which is a new one
    if pragma(db, "page_count") and _tables(db):
        return
    db.execute(f"PRAGMA page_size={_PAGE}")
    db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # so that prune can shrink the file step by step
    with transaction(db):
        if _tables(db):
            return  # the other process was faster
        db.execute(f"PRAGMA application_id={layout.application_id}")
        db.execute(f"PRAGMA user_version={layout.format}")
        for statement in layout.schema.split(";"):  # executescript would end the transaction
            db.execute(statement)


def _tables(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])


def _check_format(db: sqlite3.Connection, file: Path, layout: Layout) -> None:
    version = pragma(db, "user_version")
    if pragma(db, "application_id") != layout.application_id:
        raise StorageError(
            f"{file}: is a SQLite file but not {layout.title}; move it away, or name "
            "another folder in $HANDFUL_HOME"
        )
    if version > layout.format:
        raise StorageError(
            f"{file}: written by a newer Handful (format {version}, this one reads "
            f"{layout.format}); update handful, or name another folder in $HANDFUL_HOME"
        )


class Database:
    """The connection of one process, opened when first needed, shared by its threads."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.file = folder / layout.file
        self.layout = layout
        self._folder = folder
        self._lock = threading.RLock()
        self._open: tuple[sqlite3.Connection, bool] | None = None
        self._process = os.getpid()
        self._inherited: list[object] = []

    @contextmanager
    def session(self, doing: str) -> Iterator[tuple[sqlite3.Connection, bool]]:
        """The connection and whether it can be written, for this thread alone.

        Raises:
            StorageError: whatever goes wrong within the block, with cause and cure.
        """
        with self._lock, failures(self.file, doing):
            if self._process != os.getpid():
                # after a fork: SQLite forbids to use the parent's connection, and even to close it
                self._inherited.append(self._open)
                self._open, self._process = None, os.getpid()
            if self._open is None:
                self._open = connect(self._folder, self.layout)
            try:
                yield self._open
            except sqlite3.DatabaseError:
                self.close()  # a fresh connection rolls back whatever this one left behind
                raise

    @contextmanager
    def writing(self, doing: str) -> Iterator[sqlite3.Connection]:
        """A session that may write.

        Raises:
            StorageError: nothing can be written here; with the cure.
        """
        with self.session(doing) as (db, writable):
            if not writable:
                raise StorageError(
                    f"{self._folder}: {self.layout.title} cannot be written here; correct the "
                    "permissions of the folder, or name another one in $HANDFUL_HOME"
                )
            yield db

    def is_missing(self) -> bool:
        """Whether there is no file yet, so that a session would have to make it.

        Raises:
            StorageError: a file lies where the folder should be.
        """
        if os.path.isfile(self._folder):  # noqa: PTH113  # Path raises where it may not look
            raise StorageError(f"{self._folder}: is a file; the feature store needs a folder")
        return not os.path.exists(self.file)  # noqa: PTH110

    def is_broken(self) -> bool:
        """Whether the structure of the file is damaged, so that it cannot be mended."""
        try:
            with self.session("checking") as (db, _):
                return bool(integrity(db))
        except StorageError as error:
            if not is_damage(error.__cause__):
                raise
            return True

    def close(self) -> None:
        """Let go of the file; the next session opens it again."""
        with self._lock:
            if self._open is not None and self._process == os.getpid():
                self._open[0].close()
                self._open = None
