"""How commands talk: answers to standard output, everything else to standard error."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from handful.extract import Failure

P = ParamSpec("P")


def exits(command: Callable[P, int]) -> Callable[P, None]:
    """A command that returns its exit code, as typer wants it: raised."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        raise typer.Exit(command(*args, **kwargs))

    return run


def say(message: str) -> None:
    """A line of the answer."""
    sys.stdout.write(message + "\n")


def complain(message: str) -> None:
    """A line for the person, not for the pipe."""
    sys.stderr.write(message + "\n")


def say_json(value: Any) -> None:
    """The answer for a machine."""
    say(json.dumps(value, indent=1, ensure_ascii=False))


def table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> Table:
    """A plain table; columns in `right` hold numbers."""
    from rich import box
    from rich.table import Table

    result = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for i, header in enumerate(headers):
        result.add_column(header, justify="right" if i in right else "left", overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result


def say_table(content: Table) -> None:
    """Print a table as wide as the terminal, or as wide as it needs to be in a pipe."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False).print(
        content
    )


def report_failures(failures: Sequence[Failure], most: int = 20) -> int:
    """Name the images that failed; returns the exit code, 1 where there were any."""
    for failure in failures[:most]:
        complain(f"skipped {failure.reason}")
    if len(failures) > most:
        complain(f"skipped {len(failures) - most} more")
    if failures:
        complain(f"{len(failures)} image{'s' * (len(failures) > 1)} could not be used")
    return int(bool(failures))


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error; nothing at all when that is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
