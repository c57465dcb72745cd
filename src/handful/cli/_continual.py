"""`handful bench --protocol continual`: tasks one after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from handful.cli import _console, _results
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.protocols.bench import Request
    from handful.protocols.continual_result import ContinualResult


def run(
    sources: Sequence[Path],
    request: Request,
    unknown: float | None,
    out: Path | None,
    *,
    as_json: bool,
) -> int:
    """Encode, learn in order, show the table; with `out` write report.md, .json and figure.png."""
    from handful.protocols import continual, continual_report

    if request.anchors is not None:
        raise InputError("--anchors: no published numbers stand beside the protocol continual")
    if request.vary is not None:
        raise InputError("--ablate and the protocol continual contradict each other")
    rate = continual.RATE if unknown is None else unknown
    with _console.progress("encoding") as encoding:
        prepared = continual.prepare(sources, request, rate=rate, progress=encoding)
    with _console.progress("tasks") as progress:
        done = prepared.run(progress)
    _results.print_answer(done, show, as_json=as_json)
    if out is not None:
        names = ", ".join(path.name for path in sources)
        text = continual_report.continual_markdown(done, f"continual: {names}")
        text += "\n![figure](figure.png)\n"
        _results.write_report(done, out, continual_report.continual_figure(done), text)
        _results.report_written(out)
    return _console.report_failures(done.failures, done.ignored)


def show(done: ContinualResult) -> None:
    """The table and what stands beside it."""
    _results.show_grid(done.grid)
    _console.echo("")
    for name, cell in done.numbers().items():
        _console.echo(f"{name}: {cell}" + " %" * name.startswith("images"))
