"""Where the files of a skill lie: a folder, one `.skill` file, or memory; read with suspicion.

Nothing here knows what stands in them; `handful.packs.format` verifies that.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from handful.errors import PackError
from handful.packs import disk, skill_file


class Source(Protocol):
    """Files by their names."""

    @property
    def where(self) -> Path:
        """What errors call the whole."""
        ...

    def names(self) -> Collection[str] | None:
        """Every file that is there; None where others may lie beside the skill's own."""
        ...

    def read(self, name: str, most: int) -> bytes:
        """A file of at most `most` bytes; a PackError where there is none such."""
        ...


@dataclass(frozen=True)
class Folder:
    """The files of a folder; notes of your own may lie beside them."""

    where: Path

    def names(self) -> None:
        """Nobody minds what else is there."""
        return

    def read(self, name: str, most: int) -> bytes:
        """A plain file of the folder."""
        return disk.read_file(self.where / name, most)


def find(path: Path, known: Collection[str] = ()) -> Source:
    """The files of the skill that lies at a path.

    Args:
        path: a folder, or a file whose name ends in `.skill`.
        known: names of a skill's files, to tell somebody who names one of them.

    Raises:
        PackError: there is nothing, or something else; a `.skill` file that is not sound.
    """
    if path.is_dir():
        return Folder(path)
    if disk.aside(path).is_dir():
        raise PackError(
            f"{path}: replacing it was interrupted; the former skill is whole, in "
            f"{disk.aside(path)}. Rename it back, or save the new one again"
        )
    if not path.exists():
        raise PackError(f"{path}: does not exist; expected the folder of a skill, or a .skill file")
    if skill_file.named(path):
        return skill_file.read(path)
    hint = "expected a skill's folder, or a file called NAME.skill"
    if path.name in known:
        hint = f"give its folder, {path.parent}"
    raise PackError(f"{path}: is a file; {hint}")
