"""Finished protocols as figures: accuracy by shots or by query set, as lines and dots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from handful.protocols.compare import Comparison
from handful.protocols.methods import semantics
from handful.protocols.published import HERE, Published
from handful.protocols.ranking import Ranked, Ranking
from handful.protocols.results import BenchResult
from handful.protocols.tables import Grid, Row
from handful.report import COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKS = ("o", "s", "^", "D", "v")  # with more rows than colours the next mark begins
_ACROSS = 3
_MOST_SHOTS = 6  # in one figure; more dots in a row could not be told apart
_MOST = 12  # panels; the tables have them all


def bench_figure(bench: BenchResult) -> Figure:
    """A panel a table, with one legend for all."""
    grids = bench.grids()[:_MOST]
    across = min(_ACROSS, len(grids))
    down = math.ceil(len(grids) / across)
    tall = max(2.6, 0.2 * len(grids[0].rows) + 1.2)
    figure = new_figure(4.4 * across + 2.2, tall * down)
    axes = figure.subplots(down, across, squeeze=False).flatten()
    for panel in axes[len(grids) :]:
        panel.set_visible(False)
    for panel, grid in zip(axes, grids, strict=False):
        panel.set_title(grid.title, fontsize="medium")
        if grid.shots is None:
            _lines(panel, grid, _MARKS, opacity=0.12)
            panel.minorticks_off()
            _published_lines(panel, grid, bench.published(grid))
        else:
            _dots(panel, grid)
        panel.grid(alpha=0.25)
    named = [axis.get_legend_handles_labels() for axis in axes[: len(grids)]]
    # of a label that several panels have, the handle of the first one
    handles = {name: h for pair in reversed(named) for h, name in zip(*pair, strict=True)}
    labels = list(dict.fromkeys(label for _, names in named for label in names))
    figure.legend(
        [handles[label] for label in labels],
        labels,
        frameon=False,
        fontsize="small",
        loc="outside right upper",
    )
    return figure


def comparison_figure(comparison: Comparison) -> Figure:
    """Methods from the best down, a dot a shot count with its interval; no colour twice.

    Of more than six shot counts six are shown, the first and the last among them. The best is
    bold, and what cannot be told from it black; kinds that must not be compared stand apart.
    """
    rankings = comparison.rankings
    shots = _some(rankings[0].shots)
    rows = [(place, row) for place, row in _places(rankings)]
    figure = new_figure(5.2, 0.36 * (rows[-1][0] + 1) + 1.5)
    axes = figure.subplots()
    colours = _shades(len(shots))
    for i, count in enumerate(shots):
        at = rankings[0].shots.index(count)
        cells = [row.cells[at] for _, row in rows]
        shift = 0.0 if len(shots) == 1 else 0.5 * (i / (len(shots) - 1) - 0.5)
        axes.errorbar(
            [cell.accuracy for cell in cells],
            [place + shift for place, _ in rows],
            xerr=[cell.interval or 0 for cell in cells],
            fmt=_MARKS[i % len(_MARKS)],
            color=colours[i],
            markersize=5,
            elinewidth=1,
            label=str(count),
        )
    axes.set_yticks([place for place, _ in rows], [_name(row) for _, row in rows], fontsize=10)
    for text, (_, row) in zip(axes.get_yticklabels(), rows, strict=True):
        text.set_fontweight("bold" if row.place == "best" else "normal")
        text.set_color("#777777" if row.place == "worse" else "black")
    axes.set_ylim(rows[-1][0] + 0.7, -0.7)  # the best on top
    axes.set_xlabel("accuracy, % (bold: best; =: cannot be told from it)")
    axes.grid(alpha=0.25)
    figure.legend(
        title="labelled images a class", ncols=len(shots), loc="outside upper center",
        frameon=False, columnspacing=1.2, handletextpad=0.1,
    )  # fmt: skip
    return figure


def _places(rankings: Sequence[Ranking]) -> Iterator[tuple[float, Ranked]]:
    """Each method with its height: one a row, and a gap between kinds."""
    place = 0.0
    for ranking in rankings:
        for row in ranking.rows:
            yield place, row
            place += 1
        place += 0.6


def _some(shots: Sequence[int]) -> list[int]:
    """Six of them at most, evenly chosen, with the first and the last."""
    if len(shots) <= _MOST_SHOTS:
        return [*shots]
    places = np.linspace(0, len(shots) - 1, _MOST_SHOTS).round().astype(int)
    return [shots[i] for i in places]


def _shades(count: int) -> list[Any]:
    """Colours from light to dark, all different: more images, darker."""
    from matplotlib import colormaps

    return [colormaps["viridis_r"](x) for x in np.linspace(0.15, 0.95, max(count, 1))]


def _name(row: Ranked) -> str:
    kind = semantics(row.method)
    mark = " =" if row.place == "alike" else ""
    return row.method + mark + ("" if kind == "inductive" else f" ({kind})")


def _lines(axes: Any, grid: Grid, marks: Sequence[str], *, opacity: float) -> None:
    """Rows as lines over shot counts, their intervals as bands."""
    shots = _shot_counts(grid)
    for i, row in enumerate(grid.rows):
        mean = np.array([cell.accuracy for cell in row.cells])
        half = np.array([cell.interval or 0 for cell in row.cells])
        style = "-" if semantics(row.method) == "inductive" else "--"
        colour, mark = COLOURS[i % 8], marks[i // 8 % len(marks)]
        axes.plot(shots, mean, style, marker=mark, markersize=4, color=colour, label=_label(row))
        axes.fill_between(shots, mean - half, mean + half, color=colour, alpha=opacity, linewidth=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.set_xlabel("labelled images a class")
    axes.set_ylabel("accuracy, %")


def _published_lines(axes: Any, grid: Grid, rows: Sequence[Published]) -> None:
    """Published curves, thin: grey, or red where they are leaky."""
    named = set()
    for row in rows:
        pairs = zip(_shot_counts(grid), row.cells, strict=True)
        known = [(shots, float(cell)) for shots, cell in pairs if cell]
        leaky = row.anchor.leaky
        label = f"published{', leaky' * leaky}{'' if row.where == HERE else ', on other data'}"
        axes.plot(
            *zip(*known, strict=True),
            ":",
            marker="x" if leaky else ".",
            markersize=4,
            linewidth=0.8,
            color="#bb6666" if leaky else "#777777",
            label=None if label in named else label,
            zorder=0,
        )
        named.add(label)


def _dots(axes: Any, grid: Grid) -> None:
    """Rows from top to bottom, a colour a column, intervals as bars."""
    places = np.arange(len(grid.rows))
    for i, column in enumerate(grid.columns):
        cells = [row.cells[i] for row in grid.rows]
        axes.errorbar(
            [cell.accuracy for cell in cells],
            places,
            xerr=[cell.interval or 0 for cell in cells],
            fmt=_MARKS[i // 8 % 5],
            color=COLOURS[i % 8],
            markersize=5,
            capsize=2,
            label=column,
        )
    axes.set_yticks(places, list(map(_label, grid.rows)), fontsize="small", parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy, %")


def _shot_counts(grid: Grid) -> list[int]:
    return [int(column.split()[0]) for column in grid.columns]


def _label(row: Row) -> str:
    kind = semantics(row.method)
    return row.label if kind == "inductive" else f"{row.label} ({kind})"
