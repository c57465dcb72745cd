"""The command group, built from the files of this folder; imported once Ctrl-C is handled."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Annotated

import typer

from handful._version import __version__
from handful.cli._console import as_command, echo

# the order of `handful --help`; a command that is not named here stands at the end
_ORDER = (
    *("demo", "fit", "predict", "evaluate", "next", "add", "remove", "rename", "merge", "compare"),
    *("bench", "inspect", "verify", "pull", "push", "doctor", "explain", "methods"),
    *("meta_train", "encoders", "library", "store"),
)


def _commands() -> list[str]:
    """A file of this folder without a leading underscore is a command."""
    return [
        module.name
        for module in pkgutil.iter_modules([str(Path(__file__).parent)])
        if module.name[0] != "_"
    ]


def _place(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


app = typer.Typer(
    help="Teach a frozen vision-language model a new skill from a handful of images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _name in sorted(_commands(), key=_place):
    _module = importlib.import_module(f"handful.cli.{_name}")
    if hasattr(_module, "app"):  # several commands under one name
        app.add_typer(_module.app, name=_name.replace("_", "-"))
    else:
        app.command(_name.replace("_", "-"))(as_command(_module.run))


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
