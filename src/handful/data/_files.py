"""Reading files so that every error names the file."""

from __future__ import annotations

import codecs
import json
import os
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handful.contracts import at_home
from handful.errors import InputError


def is_file(path: Path) -> bool:
    """Whether a path from a table leads to a regular file; false for a path no disk can have."""
    return os.path.isfile(path)  # noqa: PTH113  # Path.is_file raises on a name too long


class FileFinder:
    """Finds files by the names that a table or a list has for them.

    Args:
        root: where relative names start.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._inside: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path:
        """The file; where there is none, the path that it was looked for at.

        The name may be of Windows, begin with the user's `~`, or be written in another of
        Unicode's forms than the disk has: a Mac writes `é` as two characters.
        """
        asked = self.root / name
        forms = [name, name.replace("\\", "/")]
        for form in forms:
            for path in (self.root / form, *([at_home(form)] if form[:1] == "~" else [])):
                if is_file(path):
                    return path
        found = (self._respelled(form) for form in forms if not form.isascii())
        return next((path for path in found if path is not None), asked)

    def _respelled(self, name: str) -> Path | None:
        """A file whose name differs by Unicode's form alone, in any of its parts."""
        here = self.root
        for part in Path(name).parts:
            path = here / part
            if not os.path.lexists(path):
                own = self._names(here).get(unicodedata.normalize("NFC", part))
                if own is None:
                    return None
                path = here / own
            here = path
        return here if is_file(here) else None

    def _names(self, folder: Path) -> dict[str, str]:
        """Names in a folder by their composed form."""
        if folder not in self._inside:
            try:
                names = os.listdir(folder)  # noqa: PTH208  # names alone, of perhaps 100,000
            except OSError:
                names = []
            self._inside[folder] = {unicodedata.normalize("NFC", n): n for n in names}
        return self._inside[folder]


def read_text(path: Path) -> str:
    """A text file's content: UTF-8 with or without a byte order mark, or UTF-16 with one.

    Raises:
        InputError: it is neither, or cannot be read.
    """
    try:
        content = path.read_bytes()
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def lines_of(text: str) -> list[str]:
    r"""The lines of a text, which `\n` alone ends, or Windows' `\r\n`.

    `str.splitlines` would cut at U+2028, U+0085 and others too, which may stand in a JSON text.
    """
    return [line.removesuffix("\r") for line in text.split("\n")]


def parse_json(
    path: Path,
    content: str,
    line: str = "",
    pairs: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """What JSON text from a file holds; `line` says where in it, for errors.

    Args:
        path: the file, for errors.
        content: the text.
        line: where in the file it stands.
        pairs: makes an object of its keys and values; a dict when not given.

    Raises:
        InputError: it is not JSON, or nested deeper than Python's parser goes.
    """
    try:
        return json.loads(content, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {line}is not JSON ({error})") from error


@contextmanager
def file_in_errors(source: Path | str) -> Iterator[None]:
    """Put the file's name before the message of an `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
