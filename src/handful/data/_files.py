"""Reading files so that every error names the file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from handful.errors import InputError


def is_file(path: Path) -> bool:
    """Whether a path from a table leads to a regular file; false for a path no disk can have."""
    return os.path.isfile(path)  # noqa: PTH113  # Path.is_file raises on a name too long


def read_text(path: Path) -> str:
    """A text file's content, in UTF-8, with or without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text (byte {error.start}); save it as 'CSV UTF-8'"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def parse_json(path: Path, content: str, line: str = "") -> Any:
    """What JSON text from a file holds; `line` says where in it, for errors.

    Raises:
        InputError: it is not JSON, or nested deeper than Python's parser goes.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {line}is not JSON ({error})") from error


@contextmanager
def file_in_errors(source: Path | str) -> Iterator[None]:
    """Put the file's name before the message of an `InputError`."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
