"""Images in folders, to the bottom: the one search by which every command finds photos."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

from handful.data import _passed_over
from handful.errors import InputError

EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo"),
        *("png", "apng", "webp", "avif", "bmp", "dib", "tif", "tiff", "gif"),
        *("dcm", "dicom"),
    )
)
# Files of cameras and phones that are photos although no decoder here may read them. Whoever asks
# about photos is told so of each, instead of an answer that silently lacks them.
PHOTO_EXTENSIONS = frozenset(
    f".{name}"
    for name in (
        *("heic", "heif", "hif", "jxl", "jp2", "j2k"),
        *("dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "orf", "rw2", "raf", "pef", "srw"),
    )
)

_ESCAPE = re.compile(r"\\x([89a-f][0-9a-f])")


class Search:
    """A search of folders, and what it came across besides images.

    Args:
        extensions: of the files that are searched for.

    Attributes:
        ignored: kind (an extension such as `.mov`, `hidden`, ...) to files and folders passed over.
        unreadable: name and reason of folders below the searched ones that cannot be listed.
    """

    def __init__(self, extensions: Collection[str] = EXTENSIONS) -> None:
        self.ignored: Counter[str] = Counter()
        self.unreadable: list[tuple[str, str]] = []
        self._extensions = extensions

    def images(self, top: Path) -> list[Path]:
        """Images in a folder and in those below it, in natural order.

        Raises:
            InputError: this folder cannot be listed; those below it are noted in `unreadable`.
        """
        return sorted(self._walk(top), key=natural)

    def _walk(self, top: Path) -> Iterator[Path]:
        """To the bottom; a link back up is not followed."""
        visited = {_identity(parent) for parent in top.resolve().parents}
        todo = [top]
        while todo:
            here = todo.pop()
            try:
                identity = _identity(here)
                inside = entries(here) if identity not in visited else []
            except (InputError, OSError) as error:
                if here == top:
                    raise
                self.unreadable.append((printable(here), printable(_reason(here, error))))
                continue
            visited.add(identity)
            found, folders = self._sort(inside)
            yield from found
            todo += folders

    def _sort(self, inside: list[os.DirEntry[str]]) -> tuple[list[Path], list[Path]]:
        """Images and folders among what lies in a folder; counts the rest."""
        own = _passed_over.holds_own_files({entry.name for entry in inside})
        found, folders = [], []
        for entry in inside:
            why = _passed_over.passed_over(entry)
            if not why and own and _passed_over.is_figure(entry.name):
                why = _passed_over.OWN
            if not why and is_folder(entry):
                if written_by_handful(Path(entry.path)):
                    self.ignored[_passed_over.OWN] += 1
                else:
                    folders.append(Path(entry.path))
            elif not why and _passed_over.kind(entry.name) in self._extensions:
                found.append(Path(entry.path))
            else:
                self.ignored[why or _passed_over.kind(entry.name)] += 1
        return found, folders


def entries(path: Path) -> list[os.DirEntry[str]]:
    """What lies directly in a folder, in no order.

    Raises:
        InputError: it cannot be listed.
    """
    try:
        with os.scandir(path) as found:
            return list(found)
    except OSError as error:
        raise InputError(_reason(path, error)) from error


def written_by_handful(path: Path) -> bool:
    """Whether a folder is a skill, a library or a report: its files, and no photo of anybody.

    Photos that somebody put beside such files, or in folders below, are not lost by it.
    """
    try:
        inside = [e for e in entries(path) if not _passed_over.passed_over(e)]
    except InputError:
        return False
    if not _passed_over.holds_own_files({e.name for e in inside}):
        return False
    photos = (e.name for e in inside if _passed_over.kind(e.name) in EXTENSIONS)
    below = (e for e in inside if is_folder(e))
    return all(map(_passed_over.is_figure, photos)) and all(
        e.name in _passed_over.OWN_FOLDERS or written_by_handful(Path(e.path)) for e in below
    )


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one."""
    # os.path.isdir: DirEntry.is_dir raises on a link that leads to itself
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()  # noqa: PTH112


def natural(path: Path) -> tuple[list[str | int], str]:
    """`2.jpg` before `10.jpg`, in whatever case; the path itself where that is not decisive."""
    parts = re.split(r"(\d+)", str(path).casefold())
    return [int(p) if i % 2 else p for i, p in enumerate(parts)], str(path)


def printable(path: str | Path) -> str:
    r"""A path as text that can be printed and stored; a byte that is not UTF-8 becomes `\xNN`.

    Two files never have one name by it.

    >>> printable("caf\udce9.jpg")
    'caf\\xe9.jpg'
    """
    text = os.fsdecode(path)
    if os.name == "posix":  # a name may spell such an escape itself
        text = _ESCAPE.sub(r"\\x5cx\1", text)
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, InputError):
        return str(error)
    cause = getattr(error, "strerror", None) or error
    return f"{path}: cannot be listed ({cause}); check its rights or take it out"


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
