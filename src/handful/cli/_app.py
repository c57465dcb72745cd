"""The command group: a file of this folder is a command, imported when it is asked for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from handful._version import __version__
from handful.cli._console import as_command, echo
from handful.cli._paths import refuse_empty

# the order of `handful --help`; a command that is not named here stands at the end
_ORDER = (
    *("demo", "fit", "predict", "evaluate", "next", "add", "remove", "rename", "merge", "compare"),
    *("bench", "inspect", "verify", "pull", "push", "doctor", "explain", "methods"),
    *("meta_train", "encoders", "library", "store"),
)


_PLAIN: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}


def _names() -> list[str]:
    """Names of commands: of the files without a leading underscore, in the order of the help."""
    files = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    return sorted((name for name in files if name[0] != "_"), key=_place)


def _place(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


class _Commands(Mapping[str, Any]):
    """Name to command. One is imported when it is looked up: all of them take 0.1 s."""

    def __init__(self) -> None:
        self._files = {name.replace("_", "-"): name for name in _names()}

    def __getitem__(self, name: str) -> Any:
        module = importlib.import_module(f"handful.cli.{self._files[name]}")
        holder = typer.Typer(**_PLAIN)
        if hasattr(module, "app"):  # several commands under one name
            holder.add_typer(module.app, name=name)
        else:
            holder.command(name)(as_command(module.run))
        command = typer.main.get_group(holder).commands[name]
        refuse_empty(command)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __contains__(self, name: object) -> bool:
        return name in self._files


class _Group(TyperGroup):
    """A group whose commands are those of the folder."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _Commands()  # type: ignore[assignment]  # typer reads it alone

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, without importing any."""
        return list(self.commands)


app = typer.Typer(
    cls=_Group,
    help="Teach a frozen vision-language model a new skill from a handful of images.",
    no_args_is_help=True,
    **_PLAIN,
)


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
