"""`handful push`: a skill to the Hugging Face Hub, a folder or a `.skill` file."""

from __future__ import annotations

from typing import Annotated

import typer

from handful.cli import _console, _options


def run(
    skill: _options.Skill,
    target: Annotated[
        str, typer.Argument(help="A hub name (owner/name), a name that ends in .skill, a folder.")
    ],
    title: Annotated[str | None, typer.Option(help="What its card is to call it.")] = None,
    people: Annotated[
        str | None, typer.Option("--for", help="For whom it is, for its card.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Where its photos come from, for its card.")
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", help="For its card, as the hub names it: cc-by-4.0, mit, ..."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="A hub repository made now is public, not private.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(help="Of the hub: a branch that is there.")
    ] = None,
    message: Annotated[str | None, typer.Option(help="Of the hub's commit.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a skill that is there.")] = False,
    as_json: _options.Json = False,
) -> int:
    """Give a skill to others, verified first; the one that is here stays as it is."""
    from handful.packs import exchange

    done = exchange.push(
        skill,
        target,
        title=title,
        people=people,
        data=data,
        licence=licence,
        private=not public,
        revision=revision,
        message=message,
        overwrite=overwrite,
    )
    if as_json:
        _console.echo_json(
            {"skill": done.where, "files": dict(done.files), "notes": list(done.notes)}
        )
    else:
        size = sum(done.files.values())
        _console.echo(f"{len(done.files)} files, {size} bytes, are in {done.where}.")
    for note in done.notes:
        _console.echo_err(f"note: {note}")
    return 0
