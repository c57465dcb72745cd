"""The files of a skill in a folder or one `.skill` file: read with limits, written atomically.

Their content is not interpreted here; `handful.packs.format` verifies that.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from handful.contracts import at_home, missing_path
from handful.errors import InputError, PackError
from handful.packs import disk, skill_file


class FileSource(Protocol):
    """Files by their names."""

    @property
    def where(self) -> Path:
        """What error messages call the skill."""
        ...

    def names(self) -> Collection[str] | None:
        """Every file that is there; None where others may lie beside the skill's own."""
        ...

    def read(self, name: str, most: int) -> bytes:
        """A file of at most `most` bytes; a PackError where there is none such."""
        ...


@dataclass(frozen=True)
class FolderSource:
    """The files of a folder; notes of your own may lie beside them."""

    where: Path

    def names(self) -> None:
        """Other files are ignored."""
        return

    def read(self, name: str, most: int) -> bytes:
        """A plain file of the folder."""
        return disk.read_file(self.where / name, most)


def as_path(folder: str | os.PathLike[str]) -> Path:
    """Where a skill shall be written.

    Raises:
        InputError: no path.
    """
    if not isinstance(folder, str | os.PathLike):  # an untyped program may have given anything
        raise InputError(f"folder: expected the path of a folder or file, got {folder!r}")
    return at_home(folder)


def open_source(path: Path, known: Collection[str] = ()) -> FileSource:
    """The files of the skill that lies at a path.

    Args:
        path: a folder, or a file whose name ends in `.skill`.
        known: names of a skill's files, for a better error where one of them is given.

    Raises:
        PackError: there is nothing, or something else; a `.skill` file that is not sound.
    """
    path = at_home(path)
    if path.is_dir():
        return FolderSource(path)
    # a process that was killed while it replaced the folder left the former one under this name
    former = disk.former(path)
    if former.is_dir():
        raise PackError(
            f"{path}: replacing it was interrupted; the former skill is whole, in "
            f"{former}. Rename it back, or save the new one again"
        )
    if not path.exists():
        raise PackError(missing_path(path, "expected the folder of a skill, or a .skill file"))
    if skill_file.is_skill_file(path):
        return skill_file.read(path)
    hint = "expected a skill's folder, or a file called NAME.skill"
    if path.name in known:
        hint = f"give its folder, {path.parent}"
    raise PackError(f"{path}: is a file; {hint}")


def skill_name(path: Path) -> str:
    """What a skill is called by the name of its folder or file.

    >>> skill_name(Path("skills/bird.skill"))
    'bird'
    """
    name = path.resolve().name if path.exists() else path.name
    return Path(name).stem if skill_file.is_skill_file(Path(name)) else name


def write_files(
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
    if skill_file.is_skill_file(path) and not path.is_dir():
        content = skill_file.to_bytes(files)
        disk.write_file(path, content, overwrite=overwrite, magic=skill_file.MAGIC)
    else:
        disk.write_folder(path, files, overwrite=overwrite, known=known)
