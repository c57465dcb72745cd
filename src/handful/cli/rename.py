"""`handful rename`: other labels for a skill's classes."""

from __future__ import annotations

from typing import Annotated

import typer

from handful.cli import _console, _edit, _options


def run(
    skill: _options.Skill,
    names: Annotated[list[str], typer.Argument(help="OLD=NEW; two may change places.")],
    out: _edit.Out = None,
    overwrite: _edit.Overwrite = False,
    as_json: _options.Json = False,
) -> int:
    """Give classes other labels; prompts, answers and numbers stay as they are."""
    from handful.skills.edit.rename import rename

    new_names = _edit.read_renames(names, "rename", skill)
    target = _edit.destination(skill, out, overwrite=overwrite)
    edited = rename(skill, new_names)
    if not as_json:
        for old, new in new_names.items():
            _console.echo(f"{old} is now {new}")
    return _edit.save(edited, target, overwrite=overwrite, as_json=as_json, counts=False)
