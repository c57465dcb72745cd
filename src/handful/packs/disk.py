"""Atomic writes of files and folders, and reads with limits on size, kind and number.

Nothing here depends on what a pack is. The file is long because everything that touches
the disk stands together, so that its guarantees can be checked in one place.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from handful.errors import InputError, PackError, StorageError

_JUNK = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})  # file managers leave these anywhere


def write_folder(
    folder: Path, files: Mapping[str, bytes], *, overwrite: bool, known: Collection[str] = ()
) -> None:
    """Write files into a new folder, in their order, and put it in its place in one step.

    They go into a hidden folder beside `folder` first, each flushed to the disk; then it is
    renamed. A folder that is to be overwritten is set aside, replaced and only then deleted;
    whatever happens in between, it is put back. Without `overwrite` the rename itself fails where
    a folder with content stands, so of two processes that want a name at once one is refused.

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
    with _unfinished(folder, target) as part:
        _put_back(target)
        _check_replaceable(folder, {*files, *known}, overwrite=overwrite)
        free = not target.exists()
        part.mkdir()
        for name, content in files.items():
            _write_file(part / name, content)
        _flush_folder(part)
        if free and not overwrite:
            _rename_if_free(part, target, folder)
        else:
            _swap(part, target)
    with suppress(OSError):  # all is in place; only a power cut within seconds could undo it
        _flush_folder(target.parent)


def write_file(path: Path, content: bytes, *, overwrite: bool, magic: bytes = b"") -> None:
    """Write one file and put it in its place in one step.

    Args:
        path: where it will be; missing parents are made.
        content: what it holds.
        overwrite: replace a file that is there.
        magic: what a file has to begin with to be replaced; another is not ours to delete.

    Raises:
        InputError: something is there and `overwrite` is false, or it is not ours to delete.
        StorageError: the disk refused; nothing has changed.
    """
    target = path.resolve()
    with _unfinished(path, target) as part:
        _check_replaceable_file(path, magic, overwrite=overwrite)
        _write_file(part, content)
        if overwrite:
            part.replace(target)
        else:
            _link_if_free(part, target, path)


def is_unfinished(path: Path) -> bool:
    """Whether it is the hidden folder that `write_folder` writes before it gets its name."""
    return path.name[:1] == "." and path.suffix == ".part" and path.is_dir()


def remove_folder(folder: Path) -> None:
    """Delete a folder that is gone at once or not at all.

    Raises:
        StorageError: the disk refused; the folder is as it was.
    """
    removed = _hidden(folder, ".gone")
    try:
        folder.rename(removed)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be removed ({error.strerror or error}); it is as it was"
        ) from error
    shutil.rmtree(removed, ignore_errors=True)


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
        if not stat.S_ISREG(facts.st_mode):  # to open a pipe would wait forever
            raise PackError(f"{path}: is not a plain file")
        return read_sized(path, facts.st_size, most)
    except FileNotFoundError as error:
        raise PackError(
            f"{path}: is missing; the pack is incomplete, copy or make it again"
        ) from error
    except OSError as error:
        raise PackError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_sized(path: Path, size: int, most: int) -> bytes:
    """Read a file that has `size` bytes, at most `most`, and never more than it has now.

    Raises:
        PackError: too large, or of another size.
        OSError: unreadable.
    """
    if size > most:
        raise PackError(f"{path}: has {size} bytes, expected at most {most}")
    with path.open("rb") as file:
        content = file.read(size + 1)  # one more shows whether it has grown
    if len(content) != size:
        raise PackError(f"{path}: changed while it was being read; try again")
    return content


def former(folder: Path) -> Path:
    """Where the former content of a folder waits while it is being replaced."""
    return folder.with_name(f".{folder.name}.previous")


@contextmanager
def _unfinished(path: Path, target: Path) -> Iterator[Path]:
    """A free hidden name beside `target` to write under; what is left there is deleted.

    Args:
        path: what errors call the target.
        target: the same, resolved; its parent is made.
    """
    part = _hidden(target, ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
    except StorageError:  # an OSError too
        raise
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose "
            "another place. Nothing was changed there"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with suppress(OSError):  # or it would hide the error above
            part.unlink()


def _hidden(path: Path, suffix: str) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{suffix}")


def _check_replaceable(folder: Path, ours: Collection[str], *, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected a folder, or a name that is free")
    present = {entry.name for entry in folder.iterdir()} - _JUNK
    foreign = sorted(present - set(ours))
    if foreign:  # never delete what we did not write
        raise InputError(
            f"{folder}: holds files that are not part of a skill ({', '.join(foreign[:5])}); "
            "move them elsewhere or choose another folder"
        )
    if present and not overwrite:
        raise InputError(_taken(folder))


def _check_replaceable_file(path: Path, magic: bytes, *, overwrite: bool) -> None:
    if not path.exists():
        return
    if not path.is_file():
        raise InputError(f"{path}: is no plain file; choose another name")
    if not overwrite:
        raise InputError(_taken(path))
    with path.open("rb") as file:
        if not magic.startswith(file.read(len(magic))):
            raise InputError(f"{path}: is another kind of file; move it elsewhere first")


def _taken(path: Path) -> str:
    return (
        f"{path}: exists already; choose another name, or say that it may be replaced "
        "(overwrite=True, on the command line --overwrite)"
    )


def _write_file(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _rename_if_free(part: Path, target: Path, path: Path) -> None:
    """Give a folder its name; the disk itself refuses where another has taken it meanwhile."""
    try:
        part.rename(target)
    except OSError as error:
        if target.exists():
            raise InputError(_taken(path)) from error
        raise


def _link_if_free(part: Path, target: Path, path: Path) -> None:
    """Give a file its name; a rename would replace one that has taken it meanwhile, a link not."""
    try:
        os.link(part, target)
    except FileExistsError as error:
        raise InputError(_taken(path)) from error
    except OSError:  # a disk without links
        if target.exists():
            raise InputError(_taken(path)) from None
        part.rename(target)


def _swap(part: Path, target: Path) -> None:
    if not target.exists():
        part.rename(target)
        return
    old = former(target)
    shutil.rmtree(old, ignore_errors=True)
    try:
        target.rename(old)
        part.rename(target)
    finally:
        _put_back(target)
        shutil.rmtree(old, ignore_errors=True)


def _put_back(target: Path) -> None:
    """Undo a replacement that stopped half-way, here or in a process that was killed."""
    old = former(target)
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
