"""A file of ours: where it lies, how it is opened, what its errors mean.

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

WAIT = 60.0  # seconds to queue behind another process; one batch takes milliseconds
_PAGE = 32_768  # 15 rows of 512 float32 a page; at SQLite's usual 4096 half of each page is air
_MAPPED = 0x7FFF0000  # as much of the file as SQLite will map


@dataclass(frozen=True)
class Layout:
    """What one of our files is.

    Args:
        file: its name in the folder.
        title: what errors call it, with an article.
        mark: in its header, tells it from any other SQLite file.
        format: the newest that this version reads.
        schema: SQL that makes its tables.
    """

    file: str
    title: str
    mark: int
    format: int
    schema: str


def default_folder() -> Path:
    """`$HANDFUL_HOME`, or `handful` in the folder where this system keeps a user's caches.

    Raises:
        StorageError: there is neither.
    """
    home = os.environ.get("HANDFUL_HOME")
    if home:
        return Path(home).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    if cache and Path(cache).is_absolute():  # the XDG rules say to ignore a relative one
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
        if _writable(folder, file, layout):
            db = _opened(file, "rwc")
            try:
                _prepare(db, file, layout)
            except BaseException:
                db.close()
                raise
            return db, True
        if not file.exists():
            db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            _create(db, layout)
            return db, False
        db = _opened(file, "ro")
        _check_format(db, file, layout)
        return db, False


def _writable(folder: Path, file: Path, layout: Layout) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StorageError(f"{folder}: is a file; {layout.title} needs a folder") from error
    except OSError:
        return False
    return os.access(folder, os.W_OK) and (not file.exists() or os.access(file, os.W_OK))


def _opened(file: Path, mode: str) -> sqlite3.Connection:
    db = sqlite3.connect(
        f"{file.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=WAIT,
        isolation_level=None,
        check_same_thread=False,
    )
    db.execute(f"PRAGMA mmap_size={_MAPPED}")
    return db


def _prepare(db: sqlite3.Connection, file: Path, layout: Layout) -> None:
    """Make the tables of a new file; two processes may meet here."""
    db.execute("PRAGMA synchronous=FULL")
    if db.execute("PRAGMA page_count").fetchone()[0]:
        return _check_format(db, file, layout)
    db.execute(f"PRAGMA page_size={_PAGE}")
    db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # so that prune can shrink the file step by step
    with transaction(db):
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _create(db, layout)
    return _check_format(db, file, layout)


def _create(db: sqlite3.Connection, layout: Layout) -> None:
    db.execute(f"PRAGMA application_id={layout.mark}")
    db.execute(f"PRAGMA user_version={layout.format}")
    for statement in filter(str.strip, layout.schema.split(";")):
        db.execute(statement)


def _check_format(db: sqlite3.Connection, file: Path, layout: Layout) -> None:
    mark = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if mark != layout.mark:
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
            StorageError: whatever SQLite says within the block, with cause and cure.
        """
        with self._lock, failures(self.file, doing):
            if self._process != os.getpid():  # a fork: SQLite forbids to use or close the parent's
                self._inherited.append(self._open)
                self._open, self._process = None, os.getpid()
            if self._open is None:
                self._open = connect(self._folder, self.layout)
            try:
                yield self._open
            except sqlite3.DatabaseError:
                self.close()  # a fresh connection rolls back whatever this one left behind
                raise

    def close(self) -> None:
        """Let go of the file; the next session opens it again."""
        with self._lock:
            if self._open is not None and self._process == os.getpid():
                self._open[0].close()
                self._open = None


@contextmanager
def transaction(db: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    """All of it or nothing, also when Ctrl-C falls into it."""
    try:
        db.execute(f"BEGIN {kind}")
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.rollback()


@contextmanager
def failures(file: Path, doing: str) -> Iterator[None]:
    """Turn what SQLite and the system say into a `StorageError` with cause and cure."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        cause = _explained(error)
        raise StorageError(f"{file}: {doing} failed: {cause}") from error


def is_damage(error: BaseException | None) -> bool:
    """Whether an error of SQLite means that the file itself is broken."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _explained(error: sqlite3.DatabaseError) -> str:
    code = getattr(error, "sqlite_errorcode", 0)
    kind = code & 0xFF  # the rest of the number is detail
    if is_damage(error):
        return (
            f"the file is damaged ({error}); look with `handful store check`, then throw away what "
            "is broken with `handful store prune --damaged`: features can be computed again"
        )
    if kind == sqlite3.SQLITE_FULL or code in _WRITE_ERRORS:
        return (
            f"the disk is full or a size limit was met ({error}); what was stored before is kept. "
            "Free some space, run `handful store prune`, or name another folder in $HANDFUL_HOME"
        )
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another process has held the store for {WAIT:.0f} s ({error}); try again later"
    if kind in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return (
            f"the folder or the file cannot be written ({error}); correct its permissions, or "
            "name another folder in $HANDFUL_HOME"
        )
    return f"{error} ({getattr(error, 'sqlite_errorname', 'unknown')}); look at the disk"


_WRITE_ERRORS = (
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
)
