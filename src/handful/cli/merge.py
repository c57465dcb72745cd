"""`handful merge`: two skills of one encoder become one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handful.cli import _edit, _options, _paths


def run(
    first: Annotated[
        Path,
        typer.Argument(help="A skill; the new one has its method.", callback=_paths.existing_skill),
    ],
    second: Annotated[
        Path,
        typer.Argument(help="Another skill on the same encoder.", callback=_paths.existing_skill),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write the new skill to.")],
    overwrite: Annotated[bool, typer.Option(help="Replace a skill that is there.")] = False,
    join: Annotated[
        bool, typer.Option("--join", help="Classes of the same name are one class.")
    ] = False,
    rename: Annotated[
        list[str] | None,
        typer.Option(help="OLD=NEW, another name for a class of the second; repeatable."),
    ] = None,
    as_json: _options.Json = False,
) -> int:
    """Make one skill of two, of all their classes and photos."""
    from handful.skills.edit.merge import merge

    new_names = _edit.read_renames(rename or [], "--rename", second)
    target = _edit.destination(first, out, overwrite=overwrite)
    edited = merge(first, second, join=join, rename=new_names)
    return _edit.save(edited, target, overwrite=overwrite, as_json=as_json)
