"""The command line: parse, call one function, show its answer.

Exit codes: 0 all went well; 1 some images could not be read and the rest was done; 2 an error, with
its cause and cure; 130 stopped by Ctrl-C, nothing half-written.
"""

from __future__ import annotations

import os
import sys
import warnings

import typer

from handful.cli import compare, demo, encoders, evaluate, fit, inspect, methods, predict, store
from handful.cli._console import complain, exits
from handful.errors import HandfulError

_STOPPED = 130

app = typer.Typer(
    help="Teach a frozen vision-language model a new skill from a handful of images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _module in (demo, fit, predict, evaluate, compare, inspect, methods, encoders):
    app.command(_module.__name__.rpartition(".")[2])(exits(_module.run))
app.add_typer(store.app, name="store")


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # odd EXIF, said often
    warnings.showwarning = _show_warning
    try:
        app(args=arguments)
    except HandfulError as error:
        complain(f"error: {error}")
        sys.exit(2)
    except BrokenPipeError:  # the reader went away, as `| head` does; not our error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except SystemExit as stop:
        if stop.code == _STOPPED:  # typer turns Ctrl-C into this code
            complain("stopped; nothing half-written remains, the same command goes on where it was")
        raise


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """One line for a person, without the source line that raised it."""
    complain(f"warning: {message}")
