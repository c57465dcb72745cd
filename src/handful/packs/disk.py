"""A folder of files that appears whole or not at all, and files that are read with suspicion.

Nothing here knows what a pack is.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from handful.errors import InputError, PackError, StorageError

_JUNK = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # file managers leave these anywhere


def write_folder(
    folder: Path, files: Mapping[str, bytes], *, overwrite: bool, known: Collection[str] = ()
) -> None:
    """Write files into a new folder, in their order, and put it in its place in one step.

    They go into a hidden folder beside `folder` first, each flushed to the disk; then it is
    renamed. A folder that is there already is set aside, replaced and only then deleted; whatever
    happens in between, it is put back.

    Args:
        folder: where the files will be; missing parents are made.
        files: name to content; the last one is written last.
        overwrite: replace a folder that holds these files, and no others, already.
        known: names of files that may go when a folder is replaced, besides these.

    Raises:
        InputError: something is there and `overwrite` is false, or it is not ours to delete.
        StorageError: the disk refused; nothing has changed.
    """
    target = folder.resolve()
    if not target.name:
        raise InputError(f"{folder}: is the top of a disk; expected a folder's name")
    part = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _put_back(target)
        _check_replaceable(folder, {*files, *known}, overwrite=overwrite)
        part.mkdir()
        for name, content in files.items():
            _write_file(part / name, content)
        _flush_folder(part)
        _swap(part, target)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or choose "
            "another place. Nothing was changed there"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    with suppress(OSError):  # all is in place; only a power cut within seconds could undo it
        _flush_folder(target.parent)


def write_new(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder whose name is free; of two that do so at once, one is refused.

    Unlike `write_folder` nothing is ever replaced, not even what appeared a moment ago: the rename
    itself fails where a folder with content stands.

    Args:
        folder: where the files will be; its parent exists.
        files: name to content; the last one is written last.

    Raises:
        InputError: the name is taken; nothing there has changed.
        StorageError: the disk refused; nothing has changed.
    """
    part = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        part.mkdir()
        for name, content in files.items():
            _write_file(part / name, content)
        _flush_folder(part)
        part.rename(folder)
    except OSError as error:
        if folder.exists():
            raise InputError(f"{folder}: exists already; choose another name") from error
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror or error}). Nothing was changed there"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    with suppress(OSError):  # see write_folder
        _flush_folder(folder.parent)


def is_part(path: Path) -> bool:
    """Whether it is what `write_folder` or `write_new` writes before it gets its name."""
    return path.name[:1] == "." and path.suffix == ".part" and path.is_dir()


def take_away(folder: Path) -> None:
    """Delete a folder that is gone at once or not at all.

    Raises:
        StorageError: the disk refused; the folder is as it was.
    """
    gone = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}.gone")
    try:
        folder.rename(gone)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be removed ({error.strerror or error}); it is as it was"
        ) from error
    shutil.rmtree(gone, ignore_errors=True)


def read_file(path: Path, most: int) -> bytes:
    """Read a plain file of at most `most` bytes.

    Raises:
        PackError: missing, a link, a device, too large, unreadable.
    """
    try:
        facts = path.lstat()
        if stat.S_ISLNK(facts.st_mode):
            raise PackError(
                f"{path}: is a symbolic link; a pack holds plain files only. Copy the file itself "
                "there"
            )
        if not stat.S_ISREG(facts.st_mode):
            raise PackError(f"{path}: is not a plain file")
        if facts.st_size > most:
            raise PackError(f"{path}: has {facts.st_size} bytes, expected at most {most}")
        with path.open("rb") as file:
            content = file.read(facts.st_size + 1)
    except FileNotFoundError as error:
        raise PackError(
            f"{path}: is missing; the pack is incomplete, copy or make it again"
        ) from error
    except OSError as error:
        raise PackError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(content) != facts.st_size:
        raise PackError(f"{path}: changed while it was being read; try again")
    return content


def aside(folder: Path) -> Path:
    """Where the former content of a folder waits while it is being replaced."""
    return folder.with_name(f".{folder.name}.previous")


def _check_replaceable(folder: Path, ours: Collection[str], *, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder, or a name that is free")
    present = {entry.name for entry in folder.iterdir()} - _JUNK
    if not present:
        return
    foreign = sorted(present - set(ours))
    if foreign:  # never delete what we did not write
        raise InputError(
            f"{folder}: holds files that are not part of a skill ({', '.join(foreign[:5])}); "
            "move them elsewhere or choose another folder"
        )
    if not overwrite:
        raise InputError(
            f"{folder}: exists already; choose another name, or say that it may be replaced "
            "(overwrite=True, on the command line --overwrite)"
        )


def _write_file(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _swap(part: Path, target: Path) -> None:
    if not target.exists():
        part.rename(target)
        return
    old = aside(target)
    shutil.rmtree(old, ignore_errors=True)
    try:
        target.rename(old)
        part.rename(target)
    finally:
        _put_back(target)
        shutil.rmtree(old, ignore_errors=True)


def _put_back(target: Path) -> None:
    """Undo a replacement that stopped half-way, here or in a process that was killed."""
    old = aside(target)
    if old.is_dir() and not target.exists():
        old.rename(target)


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened, and renames need no flush
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
