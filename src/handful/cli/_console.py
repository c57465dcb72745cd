"""Output of commands: answers to standard output, everything else to standard error."""

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

from handful.cli._failures import failure_lines
from handful.cli._folding import fold
from handful.errors import StorageError

if TYPE_CHECKING:
    from handful import tasks
    from handful.features import Failure

P = ParamSpec("P")
stopped = ""  # what a command says when Ctrl-C ends it; "" for what is true of every command
READER_GONE = 141  # exit code of what SIGPIPE ends, as shells report it: not all was read
_UNFOLDED = 1_000_000  # columns; rich makes a table only as wide as its cells


def as_command(function: Callable[P, int]) -> Callable[P, None]:
    """Make a typer command of a function that returns its exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = function(*args, **kwargs)
        except BrokenPipeError:  # typer would exit with 1, which means that images failed
            discard_output()
            code = READER_GONE
        raise typer.Exit(code)

    return run


def prepare_output() -> None:
    """Let both streams escape what their encoding cannot spell.

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


def flush() -> None:
    """Write out the buffer while an error can still be reported."""
    sys.stdout.flush()


def discard_output() -> None:
    """Drop what is still in the buffer; Python would report the failed write at its exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # not a real file
        sys.stdout = None


def echo(message: str) -> None:
    """Write a line of the answer to standard output."""
    sys.stdout.write(message + "\n")


def echo_text(message: str) -> None:
    """The same for a long sentence: broken between words at the terminal's width, not in a pipe."""
    echo(fold(message) if sys.stdout.isatty() else message)


def say_when_stopped(message: str) -> None:
    """What is said in place of the usual sentence when Ctrl-C ends this command."""
    global stopped  # a process runs one command
    stopped = message


def echo_err(message: str) -> None:
    """Write an error, a warning or a note to standard error; lost where that is closed.

    Folded as `echo_text` does.
    """
    if sys.stderr is not None:
        with suppress(OSError):
            message = _escape_controls(message)
            sys.stderr.write((fold(message) if sys.stderr.isatty() else message) + "\n")


def _escape_controls(message: str) -> str:
    """Escape control characters, which could steer a terminal: errors quote untrusted files."""
    controls = {c for c in message if unicodedata.category(c) == "Cc"} - {"\n", "\t"}
    return "".join(ascii(c)[1:-1] if c in controls else c for c in message)


def writes_unicode() -> bool:
    """Whether standard output can write every letter."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def to_json(value: Any) -> str:
    """Indented JSON; escapes what standard output or UTF-8 (surrogates in names) cannot hold."""
    text = json.dumps(value, indent=1, ensure_ascii=not writes_unicode())
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def echo_json(value: Any) -> None:
    """Write the answer of `--json`."""
    echo(to_json(value))


def echo_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> None:
    """Write a plain table; columns in `right` hold numbers.

    It is as wide as the terminal; in a pipe or a file as its longest row, so that no name is
    folded into two lines.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for i, header in enumerate(headers):
        table.add_column(header, justify="right" if i in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else _UNFOLDED
    console = Console(width=width, highlight=False, markup=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().removesuffix("\n").split("\n"):
        echo(line.rstrip())


def echo_parts(parts: Sequence[str | tasks.Table]) -> None:
    """Write the sentences and tables of an answer in their order."""
    for part in parts:
        if isinstance(part, str):
            echo_text(part)
        else:
            echo_table(part.headers, part.rows, part.right)


def show_selection(rows: Sequence[Sequence[str]], reason: str, title: str = "") -> None:
    """How the method of a skill was chosen: the ranking, headers first, and the reason."""
    if title and (rows or reason):
        echo(title)
    if rows:
        echo_table(rows[0], rows[1:], right=range(2, len(rows[0])))
    if reason:
        echo_text(reason)


def left_out_line(expected: Mapping[str, Any] | None) -> str:
    """The numbers behind what to expect of a skill of one label; "" where there are none."""
    if not expected or "interval" not in expected:
        return ""
    low, high = expected["interval"]
    units = expected.get("units", expected["images"])
    groups = f" in {units} groups" if units < expected["images"] else ""
    return (
        f"{100 * expected['accuracy']:.1f} % of {expected['images']} left-out images{groups} right "
        f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )


def failures_json(failures: Sequence[Failure]) -> list[dict[str, str]]:
    """Images that failed, for JSON."""
    return [{"file": f.name, "error": f.reason} for f in failures]


def report_failures(failures: Sequence[Failure], ignored: Mapping[str, int] | None = None) -> int:
    """Name the images that failed, after a line such as `ignored 3 .heic files, 1 hidden`.

    A reason that several share is told once, with how many and the first of their names.

    Returns:
        The exit code: 1 where images failed.
    """
    if ignored:
        echo_err(ignored_line(ignored))
    for line in failure_lines(failures):
        echo_err(line)
    if failures:
        echo_err(f"{len(failures)} image{'s' * (len(failures) > 1)} could not be used")
    return int(bool(failures))


def ignored_line(ignored: Mapping[str, int]) -> str:
    """Files that were passed over: `ignored 3 .heic files, 1 hidden`."""
    counts = (
        f"{count} {what} file{'s' * (count > 1)}" if what.startswith(".") else f"{count} {what}"
        for what, count in ignored.items()
    )
    return f"ignored {', '.join(counts)}"


def count(number: int) -> str:
    """A number of things with spaces between thousands: `20 000`."""
    return f"{number:,}".replace(",", " ")


def first_names(names: Sequence[str], most: int = 3) -> str:
    """The first few of many names: `a, b, c, ...`."""
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)


@contextmanager
def progress(title: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on standard error; nothing at all when that is not a terminal."""
    with training_progress(title) as (update, _):
        yield update


@contextmanager
def training_progress(
    title: str,
) -> Iterator[tuple[Callable[[int, int], None] | None, Callable[..., None] | None]]:
    """The same, and a second bar with the loss and the time left while something is trained."""
    from handful.cli._bars import open_bars

    with open_bars() as bars:
        if bars is None:
            yield None, None
            return
        first = bars.add_task(title, total=None)
        training: list[Any] = []

        def on_step(done: int, total: int, loss: float, left: float) -> None:
            title = f"training, loss {loss:.3f}, {left:.0f} s left"
            if not training:
                training.append(bars.add_task(title, total=total))
            bars.update(training[0], completed=done, total=total, description=title)

        yield lambda done, total: bars.update(first, completed=done, total=total), on_step
