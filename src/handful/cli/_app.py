"""The commands, put together; imported once somebody stands by for Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer

from handful._version import __version__
from handful.cli import (
    add,
    bench,
    compare,
    demo,
    doctor,
    encoders,
    evaluate,
    explain,
    fit,
    inspect,
    library,
    merge,
    meta_train,
    methods,
    predict,
    pull,
    push,
    remove,
    rename,
    store,
    verify,
)
from handful.cli._console import as_command, echo

app = typer.Typer(
    help="Teach a frozen vision-language model a new skill from a handful of images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _module in (
    demo,
    fit,
    predict,
    evaluate,
    add,
    remove,
    rename,
    merge,
    compare,
    bench,
    inspect,
    verify,
    pull,
    push,
    doctor,
    explain,
    methods,
    meta_train,
    encoders,
):
    app.command(_module.__name__.rpartition(".")[2].replace("_", "-"))(as_command(_module.run))
app.add_typer(library.app, name="library")
app.add_typer(store.app, name="store")


def _print_version(wanted: bool) -> None:
    if wanted:
        echo(f"handful {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say which it is."),
    ] = False,
) -> None:
    """Teach a frozen vision-language model a new skill from a handful of images."""
