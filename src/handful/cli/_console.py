"""How commands talk: answers to standard output, everything else to standard error."""

from __future__ import annotations

import functools
import io
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ParamSpec

import typer

from handful.errors import StorageError

if TYPE_CHECKING:
    from rich.table import Table

    from handful import tasks
    from handful.features import Failure

P = ParamSpec("P")


def exits(command: Callable[P, int]) -> Callable[P, None]:
    """A command that returns its exit code, as typer wants it: raised."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except BrokenPipeError:  # typer would make it 1: some images could not be read
            forget_output()
            code = 0
        raise typer.Exit(code)

    return run


def ready() -> None:
    """Prepare the output for names it cannot spell.

    Raises:
        StorageError: there is no standard output (`>&-`).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        raise StorageError(
            "standard output is closed, so no answer could be given; send it to a file or /dev/null"
        )


def finish() -> None:
    """Write out what still waits, while an error can be told."""
    sys.stdout.flush()


def forget_output() -> None:
    """What is still to be written goes nowhere, or Python would complain at its exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # not a real file
        sys.stdout = None


def say(message: str) -> None:
    """A line of the answer."""
    sys.stdout.write(message + "\n")


def complain(message: str) -> None:
    """A line for the person, not for the pipe; lost where nobody listens."""
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(_harmless(message) + "\n")


def _harmless(message: str) -> str:
    """Without letters that steer a screen; an error may quote what a stranger wrote."""
    steers = {c for c in message if unicodedata.category(c) == "Cc"} - {"\n", "\t"}
    return "".join(ascii(c)[1:-1] if c in steers else c for c in message)


def to_json(value: Any) -> str:
    """Readable where the screen can spell it; a name that is no text is told as its escape."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    text = json.dumps(value, indent=1, ensure_ascii=encoding != "utf8")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def say_json(value: Any) -> None:
    """The answer for a machine."""
    say(to_json(value))


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


def say_all(parts: Sequence[str | tasks.Table]) -> None:
    """Sentences and tables of an answer, in their order."""
    for part in parts:
        if isinstance(part, str):
            say(part)
        else:
            say_table(table(part.headers, part.rows, part.right))


def say_table(content: Table) -> None:
    """Print a table as wide as the terminal, or as wide as it needs to be in a pipe."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(content)
    for line in captured.get().splitlines():
        say(line.rstrip())


def tell_ignored(ignored: Mapping[str, int]) -> None:
    """One line about files that were passed over, such as `ignored 3 .heic files, 1 hidden`."""
    if ignored:
        said = (
            f"{count} {what} file{'s' * (count > 1)}" if what.startswith(".") else f"{count} {what}"
            for what, count in ignored.items()
        )
        complain(f"ignored {', '.join(said)}")


def named(failures: Sequence[Failure]) -> list[dict[str, str]]:
    """Failures for a machine."""
    return [{"file_name": f.name, "error": f.reason} for f in failures]


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
    with _bars() as bars:
        if bars is None:
            yield None
            return
        task = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


@contextmanager
def training_progress(
    title: str,
) -> Iterator[tuple[Callable[[int, int], None] | None, Callable[..., None] | None]]:
    """The same, and a second bar with the loss and the time left while something is trained."""
    with _bars() as bars:
        if bars is None:
            yield None, None
            return
        first = bars.add_task(title, total=None)
        training: list[Any] = []

        def live(done: int, total: int, loss: float, left: float) -> None:
            said = f"training, loss {loss:.3f}, {left:.0f} s left"
            if not training:
                training.append(bars.add_task(said, total=total))
            bars.update(training[0], completed=done, total=total, description=said)

        yield lambda done, total: bars.update(first, completed=done, total=total), live


@contextmanager
def _bars() -> Iterator[Any]:
    if sys.stderr is None or not sys.stderr.isatty():
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

    text = TextColumn("{task.description}")
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield bars
