"""Files of answers, one format a file; `handful.plugins.names("outputs")` lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handful import plugins
from handful.skills.outputs._base import LineOutput, Output, TextOutput

__all__ = ["LineOutput", "Output", "TextOutput", "for_file", "get"]


def get(name: str, **options: Any) -> Output:
    """The format that the file `outputs/name.py` defines.

    Args:
        name: of the file.
        options: arguments of its class, `excel` of `csv` for instance.

    Raises:
        UnknownNameError: no such format; says which there are.
    """
    output: Output = plugins.get("outputs", name)(**options)
    return output


def for_file(path: Path) -> str | None:
    """The name of the format that a file's name ends in; None for an ending of none."""
    ending = path.suffix.lower()
    return next((n for n in plugins.names("outputs") if ending in get(n).suffixes), None)
