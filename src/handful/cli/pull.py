"""`handful pull`: a skill from the Hugging Face Hub, a folder or a `.skill` file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from handful.cli import _console, _options


def run(
    name: Annotated[
        str, typer.Argument(help="A hub name (owner/name), a folder, or a .skill file.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to put it into, or a name that ends in .skill; else its own."),
    ] = None,
    revision: _options.Revision = None,
    overwrite: _options.Overwrite = False,
    as_json: _options.Json = False,
) -> int:
    """Fetch a skill, verify it, and put it in its place; nothing of it is run."""
    from handful.packs import exchange

    done = exchange.pull(name, out, revision=revision, overwrite=overwrite)
    if as_json:
        _console.echo_json(
            {
                "skill": done.where,
                "from": name,
                "commit": done.commit,
                "files": dict(done.files),
                "notes": list(done.notes),
            }
        )
    else:
        stated = done.pack.manifest["encoder"]["name"]
        # untrusted: control characters in it must not reach the terminal
        encoder = "".join(letter for letter in stated if letter.isprintable())
        _console.echo(
            f"Verified {len(done.pack.classes)} classes, {done.pack.method} on {encoder}, "
            f"{sum(done.files.values())} bytes"
            + (f", commit {done.commit[:12]}." if done.commit else ".")
        )
        _console.echo(f"The skill is in {done.where}. Try: handful predict {done.where} PHOTO...")
    for note in done.notes:
        _console.echo_err(f"note: {note}")
    return 0
