"""A folder per class."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from handful.data._rows import READERS
from handful.data._walk import entries
from handful.data.dataset import Dataset
from handful.data.folder import folder
from handful.data.formats import Format
from handful.errors import InputError


class Folder(Format):
    """Folders whose names are the labels, also below `train`, `val` and `test`."""

    expected: ClassVar[str] = "a folder with one folder per class (also below train, val and test)"

    def reads(self, path: Path) -> bool:
        """Any folder, for it is asked last."""
        return path.is_dir()

    def load(self, path: Path) -> Dataset:
        """Refuses one class folder beside a table, which most likely holds the labels."""
        found = folder(path)
        names = sorted(entry.name for entry in entries(path))
        tables = [n for n in names if Path(n).suffix.lower() in READERS]
        if len(found.classes) == 1 and tables:
            raise InputError(
                f"{path}: has one class folder ({found.classes[0]}) and the table {tables[0]}; "
                f"if the table holds the labels, name {path / tables[0]}"
            )
        return found
