"""Files of answers, one format a file; `handful.plugins.names("outputs")` lists them."""

from __future__ import annotations

from pathlib import Path

from handful import plugins
from handful.skills.outputs._base import Output, answer_rows

__all__ = ["Output", "answer_rows", "for_file", "get", "name_of"]


def get(name: str) -> Output:
    """The format that the file `outputs/name.py` defines.

    Raises:
        UnknownNameError: no such format; says which there are.
    """
    output: Output = plugins.get("outputs", name)()
    return output


def name_of(output: Output) -> str:
    """The name by which `get` finds a format: its file's."""
    return type(output).__module__.rpartition(".")[2]


def for_file(path: Path) -> Output | None:
    """The format that a file's name ends in; None for an ending of none."""
    found = (get(name) for name in plugins.names("outputs"))
    return next((output for output in found if path.suffix.lower() in output.suffixes), None)
