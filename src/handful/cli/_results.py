"""How commands show results, write reports, and name the images that were left out of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from handful.cli import _console

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handful.data import Notes
    from handful.protocols.tables import Grid


class Result(Protocol):
    """What `as_dict` makes ready for JSON."""

    def as_dict(self) -> dict[str, Any]:
        """Facts, tables and every number."""
        ...


def show_grid(grid: Grid) -> None:
    """A table on the screen, rows apart where their numbers must not be compared."""
    for _, note, rows in grid.blocks():
        if note:
            _console.echo(f"\n{', '.join(row.label for row in rows)}: {note}.")
        show_rows(grid, [[row.label, *map(str, row.cells)] for row in rows])


def show_rows(grid: Grid, cells: list[list[str]]) -> None:
    """Rows under the headers of a table."""
    headers = ["accuracy, %", *grid.columns]
    _console.echo_table(headers, cells, right=range(1, len(headers)))


def print_answer(result: Result, show: Callable[[Any], None], *, as_json: bool) -> None:
    """The answer, before any file is written: a bad disk must not lose it."""
    if as_json:
        _console.echo_json(result.as_dict())
    else:
        show(result)
    _console.flush()


def write_report(
    result: Result, out: Path, figure: Figure, text: str, name: str = "figure.png"
) -> None:
    """The figure, `report.json` and, last, `report.md` in a folder."""
    from handful import report

    report.save(figure, out / name)
    report.save(result.as_dict(), out / "report.json")
    report.save(text, out / "report.md")


def report_written(out: Path, name: str = "figure.png") -> None:
    """Where the files are."""
    _console.echo_err(f"wrote {out / 'report.md'}, {name} and report.json")


def report_notes(notes: Notes) -> None:
    """What may surprise about photos that were read, on standard error; a line a remark."""
    for line in notes.lines():
        _console.echo_err(f"note: {line}")


def report_left_out(names: Sequence[str], what: str, treated: str = "left out") -> None:
    """Name the images that are not treated as the others, on standard error; nothing if none."""
    if names:
        _console.echo_err(f"{len(names)} {what}: {treated} ({_console.first_names(names)})")
