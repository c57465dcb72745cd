"""`handful bench --protocol continual`: tasks one after another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from handful.cli import _console
from handful.errors import InputError

if TYPE_CHECKING:
    from handful.protocols.continual import Continual
    from handful.protocols.request import Request


def run(
    sources: Sequence[Path],
    request: Request,
    unknown: float | None,
    out: Path | None,
    *,
    as_json: bool,
) -> int:
    """Encode, learn in order, show the table; with `out` write report.md, .json and figure.png."""
    from handful import report
    from handful.protocols import continual, continual_report

    if request.anchors is not None:
        raise InputError("--anchors: no published numbers stand beside the protocol continual")
    if request.vary is not None:
        raise InputError("--ablate and the protocol continual contradict each other")
    rate = continual.RATE if unknown is None else unknown
    with _console.progress("encoding") as encoding:
        ready = continual.prepare(sources, request, rate=rate, encoding=encoding)
    with _console.progress("tasks") as progress:
        done = ready.run(progress)
    if as_json:
        _console.say_json(continual_report.as_dict(done))
    else:
        show(done)
    _console.finish()  # the answer first: a bad disk must not lose it
    if out is not None:
        named = ", ".join(path.name for path in sources)
        report.save(continual_report.figure(done), out / "figure.png")
        report.save(continual_report.as_dict(done), out / "report.json")
        text = continual_report.markdown(done, f"continual: {named}")
        report.save(text + "\n![figure](figure.png)\n", out / "report.md")
        _console.complain(f"wrote {out / 'report.md'}, figure.png and report.json")
    _console.tell_ignored(done.ignored)
    return _console.report_failures(done.failures)


def show(done: Continual) -> None:
    """The table and what stands beside it."""
    from handful.protocols import continual_report

    headers = ["accuracy, %", *continual_report.COLUMNS]
    cells = [[label, *map(str, row)] for label, row in continual_report.rows(done).items()]
    _console.say_table(_console.table(headers, cells, right=range(1, len(headers))))
    _console.say("")
    for name, cell in continual_report.numbers(done).items():
        _console.say(f"{name}: {cell}" + " %" * name.startswith("images"))
