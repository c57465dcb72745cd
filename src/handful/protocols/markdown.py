"""Finished protocols as markdown: tables, what stands behind them, and the figure's place."""

from __future__ import annotations

from collections.abc import Sequence

from handful.protocols.compare import Comparison
from handful.protocols.published import Published, apart
from handful.protocols.ranking import explained
from handful.protocols.results import BenchResult
from handful.protocols.tables import Grid
from handful.report import fact_lines, markdown_table, plain

_MARKS = {"best": "**best**", "alike": "=", "worse": ""}


def bench_markdown(bench: BenchResult, heading: str) -> str:
    """The whole report.

    Args:
        bench: what was measured.
        heading: first line, without `#`.
    """
    figure = "\n![figure](figure.png)\n"
    data = "\n".join(_data_lines(bench)) + "\n"
    return f"# {heading}\n\n{bench_tables(bench)}{figure}\n## The data\n\n{data}"


def bench_tables(bench: BenchResult, level: int = 2) -> str:
    """The tables with the published rows beside them, and how they came about.

    Args:
        bench: what was measured.
        level: of the headings.
    """
    lines: list[str] = []
    for grid in bench.grids():
        lines += [f"{'#' * level} {grid.title}", "", *_grid_lines(grid)]
        for rows in apart(bench.published(grid)):
            lines += _published_lines(grid, rows)
    return "\n".join([*lines, f"{bench.interval}  ", *fact_lines(bench.facts)]) + "\n"


def comparison_markdown(comparison: Comparison) -> str:
    """A table of methods by shots, percent ± half of the 95 % interval, and the facts below it."""
    lines: list[str] = []
    for ranking in comparison.rankings:
        rows = [_MARKS[row.place] for row in ranking.rows], ranking.rows
        if ranking.note:
            lines += [f"{', '.join(row.method for row in ranking.rows)}: {ranking.note}.", ""]
        columns = [f"{k} shot{'s' * (k > 1)}" for k in ranking.shots]
        cells = [
            (mark, f"`{row.method}`", str(row.mean), *map(str, row.cells))
            for mark, row in zip(*rows, strict=True)
        ]
        lines += [*markdown_table(["accuracy, %", "method", "mean", *columns], cells), ""]
        told = explained(ranking, equal=comparison.facts.get("equal draws", ()))
        lines += [*(f"{line}  " for line in told)]
    return "\n".join([*lines, f"{comparison.interval}  ", *fact_lines(comparison.facts)]) + "\n"


def _grid_lines(grid: Grid) -> list[str]:
    """A table for each block of rows that may be compared with each other."""
    lines = []
    for _, note, rows in grid.blocks():
        lines += [f"{', '.join(r.label for r in rows)}: {note}.", ""] if note else []
        cells = [(row.label, *map(str, row.cells)) for row in rows]
        lines += [*markdown_table(["accuracy, %", *grid.columns], cells), ""]
    return lines


def _published_lines(grid: Grid, rows: Sequence[Published]) -> list[str]:
    """Published numbers, in a table apart from measured ones."""
    cells = []
    leaks: dict[str, list[str]] = {}
    for row in rows:
        a = row.anchor
        source = f"{a.source}{' (computed)' * a.computed}{' (read off a figure)' * a.figure}"
        cells.append((row.label, *row.cells, a.hyper_parameters, a.text, source))
        if a.leaky:
            leaks.setdefault(a.leak, []).append(a.method)
    headers = ["published, %", *grid.columns, "chosen by", "text", "source"]
    return [
        f"Published with {rows[0].anchor.encoder}, {rows[0].kind} (their draws, texts and "
        "choices, not ours):",
        "",
        *markdown_table(headers, cells),
        "",
        *(f"† {', '.join(dict.fromkeys(names))}: {leak}.  " for leak, names in leaks.items()),
        "",
    ]


def _data_lines(bench: BenchResult) -> list[str]:
    """A table of the data sets and what a reader must know of each."""
    names = dict.fromkeys(
        name for facts in bench.tasks.values() for name, value in facts.items() if value
    )
    cells = [
        (task, *(plain(facts.get(name, "")) for name in names))
        for task, facts in bench.tasks.items()
    ]
    return markdown_table(["data set", *names], cells)
