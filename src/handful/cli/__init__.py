"""The command line: parse, call one function, show its answer.

Exit codes: 0 all went well; 1 some images could not be read and the rest was done; 2 an error, with
its cause and cure; 130 stopped by Ctrl-C, nothing half-written.
"""

from __future__ import annotations

import os
import sys

import click
import typer

from handful.cli import compare, demo, encoders, evaluate, fit, inspect, methods, predict, store
from handful.cli._console import complain
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
    app.command(_module.__name__.rpartition(".")[2])(_module.run)
app.add_typer(store.app, name="store")


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit with its code."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except HandfulError as error:
        complain(f"error: {error}")
        code = 2
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = _STOPPED
    except BrokenPipeError:  # the reader went away, as `| head` does; not our error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    if code == _STOPPED:  # typer itself turns Ctrl-C into this code
        complain("stopped; nothing half-written remains, the same command goes on where it was")
    sys.exit(code or 0)
