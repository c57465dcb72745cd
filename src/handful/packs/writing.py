"""Where a skill is written: a folder, or one `.skill` file; whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from handful.errors import InputError, StorageError
from handful.packs import disk, skill_file


def put(
    path: Path, files: Mapping[str, bytes], *, overwrite: bool, known: Collection[str] = ()
) -> None:
    """Write a skill, whole or not at all: a file where the name ends in `.skill`, else a folder.

    Args:
        path: a name that is free, or with `overwrite` a skill to replace.
        files: name to content; the last one is written last.
        overwrite: replace the skill that is there.
        known: names of files that may go when a folder is replaced, besides these.

    Raises:
        InputError: something is there that may not be replaced.
        StorageError: the disk refused; what was there before is untouched.
    """
    if skill_file.named(path) and not path.is_dir():
        content = skill_file.packed(files)
        write_file(path, content, overwrite=overwrite, start=skill_file.START)
    else:
        disk.write_folder(path, files, overwrite=overwrite, known=known)


def write_file(path: Path, content: bytes, *, overwrite: bool, start: bytes = b"") -> None:
    """Write one file and put it in its place in one step.

    Args:
        path: where it will be; missing parents are made.
        content: what it holds.
        overwrite: replace a file that is there.
        start: what a file has to begin with to be replaced; another is not ours to delete.

    Raises:
        InputError: something is there and `overwrite` is false, or it is not ours to delete.
        StorageError: the disk refused; nothing has changed.
    """
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_replaceable(path, start, overwrite=overwrite)
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            part.replace(target)
        else:
            _name(part, target)
    except FileExistsError as error:
        raise InputError(_there(path)) from error
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written ({error.strerror or error}); free some space or choose "
            "another place. Nothing was changed there"
        ) from error
    finally:
        with suppress(OSError):  # the error above is the one to tell
            part.unlink(missing_ok=True)


def _check_replaceable(path: Path, start: bytes, *, overwrite: bool) -> None:
    if not path.exists():
        return
    if not path.is_file():
        raise InputError(f"{path}: is no plain file; choose another name")
    if not overwrite:
        raise InputError(_there(path))
    with path.open("rb") as file:
        if not start.startswith(file.read(len(start))):
            raise InputError(f"{path}: is another kind of file; move it elsewhere first")


def _name(part: Path, target: Path) -> None:
    """Give a file its name unless another has taken it meanwhile."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a disk without links
        if target.exists():
            raise FileExistsError(target) from None
        part.rename(target)


def _there(path: Path) -> str:
    return (
        f"{path}: exists already; choose another name, or say that it may be replaced "
        "(overwrite=True, on the command line --overwrite)"
    )
