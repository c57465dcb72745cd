"""The split files of the CoOp data sets."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from handful.data import coop
from handful.data.dataset import Dataset
from handful.data.formats import Format
from handful.errors import InputError


class Coop(Format):
    """A `split_zhou_*.json`, or the folder that holds one; see `handful.data.coop`."""

    expected: ClassVar[str] = "a CoOp split file (split_zhou_<Name>.json)"

    def reads(self, path: Path) -> bool:
        """Any JSON file, for no other format here is one."""
        return bool(_split_files(path)) if path.is_dir() else path.suffix.lower() == ".json"

    def load(self, path: Path) -> Dataset:
        """The images of the one split file."""
        files = _split_files(path) if path.is_dir() else [path]
        if len(files) > 1:
            several = ", ".join(f.name for f in files)
            raise InputError(f"{path}: holds several split files ({several}); name the one to use")
        return coop(files[0])


def _split_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("split_zhou_*.json"))
