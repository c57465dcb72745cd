"""`handful remove`: unlearn images exactly, or whole classes."""

from __future__ import annotations

from typing import Annotated

import typer

from handful.cli import _edit, _options


def run(
    skill: _options.Skill,
    images: Annotated[
        list[str] | None,
        typer.Argument(help="Names as the skill holds them (cat/1.jpg), files, or digests."),
    ] = None,
    out: _edit.Out = None,
    overwrite: _edit.Overwrite = False,
    label: Annotated[
        str | None, typer.Option("--class", help="Look among the images of this class alone.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="A class to forget with all its images; repeatable.")
    ] = None,
    as_json: _options.Json = False,
) -> int:
    """Unlearn photos as if the skill had never seen them, or drop classes."""
    from handful.skills.edit.remove import remove

    target = _edit.destination(skill, out, overwrite=overwrite)
    edited = remove(skill, images or (), label=label, drop=drop or ())
    return _edit.save(edited, target, overwrite=overwrite, as_json=as_json)
