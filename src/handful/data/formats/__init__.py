"""Sources of labelled images, one format a file; `handful.plugins.names("formats")` lists them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from handful import plugins
from handful.contracts import missing_path
from handful.data.dataset import Dataset
from handful.errors import InputError

__all__ = ["Format", "find", "load"]

_LAST = ("table", "folder")  # the most general formats, tried when no other applies


class Format(ABC):
    """One kind of source.

    Class attributes:
        expected: what it is, for the error about a path of no kind.
    """

    plugin: ClassVar[bool] = True
    expected: ClassVar[str]

    @abstractmethod
    def reads(self, path: Path) -> bool:
        """Whether a path that exists is of this kind, by its name and what lies in it."""

    @abstractmethod
    def load(self, path: Path) -> Dataset:
        """The labelled images.

        Raises:
            InputError: everything that is wrong with them, with the file's name.
        """


def find(path: Path) -> Format | None:
    """The format that reads a path; None for no such path, or one of no format."""
    return next((f for f in _formats() if path.exists() and f.reads(path)), None)


def load(path: Path) -> Dataset:
    """Labelled images from a path of any format.

    Raises:
        InputError: no such path, or of no format; what the format finds wrong.
    """
    found = find(path)
    if found is not None:
        return found.load(path)
    *first, last = (f.expected for f in reversed(_formats()))
    expected = f"expected {', '.join(first)}, or {last}"
    if path.exists():
        raise InputError(f"{path}: is none of the kinds of source; {expected}")
    raise InputError(missing_path(path, expected))


def _formats() -> list[Format]:
    known = [name for name in plugins.names("formats") if name not in _LAST]
    return [plugins.get("formats", name)() for name in (*known, *_LAST)]
