"""A finished protocol as markdown: tables, what stands behind them, and the figure's place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from handful.protocols.published import Published, apart
from handful.protocols.result import Bench
from handful.protocols.table import Grid, Row


def markdown(bench: Bench, heading: str) -> str:
    """The whole report.

    Args:
        bench: what was measured.
        heading: first line, without `#`.
    """
    figure = "\n![figure](figure.png)\n"
    return f"# {heading}\n\n{tables(bench)}{figure}\n## The data\n\n{data(bench)}"


def tables(bench: Bench, level: int = 2) -> str:
    """The tables with the published rows beside them, and how they came about.

    Args:
        bench: what was measured.
        level: of the headings.
    """
    lines: list[str] = []
    for grid in bench.grids():
        lines += [f"{'#' * level} {grid.title}", ""]
        for _, note, rows in grid.blocks():
            lines += [f"{', '.join(r.label for r in rows)}: {note}.", ""] if note else []
            lines += [*_table(grid, rows), ""]
        for others in apart(bench.published(grid)):
            lines += _published(grid, others)
    return "\n".join([*lines, _spread(bench) + "  ", *told(bench.facts)]) + "\n"


def _table(grid: Grid, rows: Sequence[Row]) -> list[str]:
    lines = [f"| accuracy, % | {' | '.join(map(_cell, grid.columns))} |"]
    lines.append("|---" * (1 + len(grid.columns)) + "|")
    return lines + [f"| {_cell(r.label)} | {' | '.join(map(str, r.cells))} |" for r in rows]


def _published(grid: Grid, rows: Sequence[Published]) -> list[str]:
    """Other people's numbers, never in one table with ours."""
    lines = [
        f"Published with {rows[0].anchor.encoder}, {rows[0].kind} (their draws, texts and "
        "choices, not ours):",
        "",
        f"| published, % | {' | '.join(map(_cell, grid.columns))} | chosen by | text | source |",
        "|---" * (4 + len(grid.columns)) + "|",
    ]
    for row in rows:
        a = row.anchor
        read = f"{a.source}{' (computed)' * a.computed}{' (read off a figure)' * a.figure}"
        cells = (row.label, *row.cells, a.hyper_parameters, a.text, read)
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    leaks: dict[str, list[str]] = {}
    for row in rows:
        if row.anchor.leaky:
            leaks.setdefault(row.anchor.leak, []).append(row.anchor.method)
    told = [f"† {', '.join(dict.fromkeys(names))}: {leak}.  " for leak, names in leaks.items()]
    return [*lines, "", *told, ""]


def _spread(bench: Bench) -> str:
    if bench.facts["seeds"] == 1:
        return "One seed only, so nothing is known of the spread: no interval is given."
    return "± is half of the 95 % interval (Student's t) over the seeds."


def data(bench: Bench) -> str:
    """A table of the data sets and what a reader must know of each."""
    known = dict.fromkeys(
        n for facts in bench.tasks.values() for n, value in facts.items() if value
    )
    names = list(known)
    lines = [f"| data set | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for task, facts in bench.tasks.items():
        cells = (_cell(plain(facts.get(name, ""))) for name in names)
        lines.append(f"| {_cell(task)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def told(facts: Mapping[str, Any]) -> list[str]:
    """A line for every fact that says something."""
    said = {name: plain(value) for name, value in facts.items()}
    return [f"{name}: {value.removesuffix('.')}.  " for name, value in said.items() if value]


def plain(value: Any) -> str:
    """A fact in words."""
    if isinstance(value, Mapping):
        return "; ".join(f"{what}: {how}" for what, how in value.items())
    if isinstance(value, list | tuple):
        shown = ", ".join(map(str, value[:8]))
        return shown + (f" and {len(value) - 8} more" if len(value) > 8 else "")
    return str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
