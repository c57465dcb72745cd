"""Files of answers, one format a file; `handful.plugins.names("outputs")` lists them."""

from __future__ import annotations

from pathlib import Path

from handful import plugins
from handful.skills.outputs._base import Output, answer_rows

__all__ = ["Output", "answer_rows", "for_file", "get"]


def get(name: str) -> Output:
    """The format that the file `outputs/name.py` defines.

    Raises:
        UnknownNameError: no such format; says which there are.
    """
    output: Output = plugins.get("outputs", name)()
    return output


def for_file(path: Path) -> str | None:
    """The name of the format that a file's name ends in; None for an ending of none."""
    ending = path.suffix.lower()
    return next((n for n in plugins.names("outputs") if ending in get(n).suffixes), None)
