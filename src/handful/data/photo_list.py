"""Photos that a list names: a table of paths, a text file with a path a line, a stream."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from handful.contracts import ImageRef
from handful.data._files import FileFinder
from handful.data._image_table import PATH, cell_text, find_column
from handful.data._rows import READERS, read
from handful.data._walk import printable
from handful.errors import InputError


@dataclass(frozen=True)
class PhotoList:
    """N photos, and the cells that stand beside them.

    Args:
        images: in the order of the list; a name that repeats is there as often.
        columns: names of the cells.
        cells: of each column N texts.
    """

    images: tuple[ImageRef, ...]
    columns: tuple[str, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()


def read_list(path: Path, keep: Sequence[str] = ()) -> PhotoList:
    """Photos that a file lists; relative paths start at its folder.

    A table (`.csv`, `.jsonl`, `.parquet`, ...) needs a column of paths; any other file has a path a
    line. A path that leads nowhere fails later, by name, and stops no other.

    Args:
        path: the file.
        keep: columns of the table whose cells are carried along.

    Raises:
        InputError: no such file, no column of paths, no such column to keep, no photo in it.
        MissingExtraError: a Parquet file, without the library that reads them.
    """
    if not path.is_file():
        raise InputError(f"{path}: is no file; expected a table with a column path, or a text file")
    if path.suffix.lower() not in READERS:
        if keep:
            raise InputError(f"{path}: is a list of paths without columns; leave --keep out")
        with path.open("rb") as file:
            return PhotoList(tuple(_images(names_in(file, str(path)), path.parent)))
    columns, rows = read(path, lambda names: bool(find_column([*names], PATH)))
    column = find_column(columns, PATH)
    if not column:
        raise InputError(
            f"{path}: has no column for the path; expected one named {', '.join(PATH)}, got "
            f"{', '.join(columns)}"
        )
    unknown = [name for name in keep if name not in columns]
    if unknown:
        raise InputError(f"{path}: has no column {unknown[0]}; it has {', '.join(columns)}")
    named = [(cell_text(cells.get(column)), cells) for _, cells in rows]
    named = [(name, cells) for name, cells in named if name]
    if not named:
        raise InputError(f"{path}: names no photo in its column {column}")
    kept = tuple(tuple(cell_text(cells.get(k)) for _, cells in named) for k in keep)
    return PhotoList(tuple(_images([n for n, _ in named], path.parent)), tuple(keep), kept)


def read_stream(file: IO[bytes]) -> PhotoList:
    """Photos whose names come one a line, or with a zero byte after each (`find -print0`).

    Raises:
        InputError: no name at all.
    """
    return PhotoList(tuple(_images(names_in(file, "standard input"), Path())))


def names_in(file: IO[bytes], where: str) -> list[str]:
    """Names in a file of them, as the system spells names.

    Raises:
        InputError: there is none.
    """
    content = file.read()
    ends = b"\0" if b"\0" in content else b"\n"
    parts = content.removeprefix(b"\xef\xbb\xbf").split(ends)
    names = [os.fsdecode(p.removesuffix(b"\r") if ends == b"\n" else p) for p in parts if p.strip()]
    if not names:
        raise InputError(f"{where}: names no photo; expected a path a line")
    return names


def _images(names: Sequence[str], folder: Path) -> list[ImageRef]:
    finder = FileFinder(folder)
    found = [finder.find(name) for name in names]
    return [ImageRef.of(path, printable(path)) for path in found]
