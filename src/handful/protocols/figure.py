"""A finished protocol as one figure: a panel a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from handful.protocols.published import HERE, Published
from handful.protocols.result import Bench
from handful.protocols.table import Grid
from handful.protocols.trials import semantics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers too; then the same with other marks.
_COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#999999")
_MARKS = ("o", "s", "^", "D", "v")
_ACROSS = 3
_MOST = 12  # panels; the tables have them all


def figure(bench: Bench) -> Figure:
    """Accuracy by shots as lines with bands; exams as dots with bars."""
    from matplotlib.figure import Figure  # not pyplot: no global state and no window

    grids = bench.grids()[:_MOST]
    across = min(_ACROSS, len(grids))
    down = math.ceil(len(grids) / across)
    tall = max(2.6, 0.2 * len(grids[0].rows) + 1.2)
    result = Figure(figsize=(4.4 * across + 2.2, tall * down), layout="constrained")
    axes = result.subplots(down, across, squeeze=False).flatten()
    for panel in axes[len(grids) :]:
        panel.set_visible(False)
    for panel, grid in zip(axes, grids, strict=False):
        panel.set_title(grid.title, fontsize="medium")
        if grid.shots is None:
            _lines(panel, grid)
            _others(panel, grid, bench.published(grid))
        else:
            _dots(panel, grid)
        panel.grid(alpha=0.25)
    named = [axis.get_legend_handles_labels() for axis in axes[: len(grids)]]
    told = {label: handle for pair in reversed(named) for handle, label in zip(*pair, strict=True)}
    first = dict.fromkeys(label for _, labels in named for label in labels)
    result.legend(
        [told[label] for label in first],
        list(first),
        frameon=False,
        fontsize="small",
        loc="outside right upper",
    )
    return result


def _lines(axes: Any, grid: Grid) -> None:
    shots = [int(column.split()[0]) for column in grid.columns]
    for i, row in enumerate(grid.rows):
        mean = np.array([cell.accuracy for cell in row.cells])
        half = np.array([cell.interval or 0 for cell in row.cells])
        kind = semantics(row.method)
        style = "-" if kind == "inductive" else "--"
        told = row.label if kind == "inductive" else f"{row.label} ({kind})"
        look = {"color": _COLOURS[i % 8], "marker": _MARKS[i // 8 % 5]}
        axes.plot(shots, mean, style, markersize=4, label=told, **look)
        axes.fill_between(shots, mean - half, mean + half, color=look["color"], alpha=0.12, lw=0)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.minorticks_off()
    axes.set_xlabel("labelled images a class")
    axes.set_ylabel("accuracy, %")


def _others(axes: Any, grid: Grid, rows: Sequence[Published]) -> None:
    """Published curves, thin: grey, or red where they are leaky."""
    named = set()
    for row in rows:
        pairs = zip(grid.columns, row.cells, strict=True)
        known = [(int(column.split()[0]), float(cell)) for column, cell in pairs if cell]
        leaky = row.anchor.leaky
        told = f"published{', leaky' * leaky}{'' if row.where == HERE else ', on other data'}"
        axes.plot(
            *zip(*known, strict=True),
            ":",
            marker="x" if leaky else ".",
            markersize=4,
            linewidth=0.8,
            color="#bb6666" if leaky else "#777777",
            label=None if told in named else told,
            zorder=0,
        )
        named.add(told)


def _dots(axes: Any, grid: Grid) -> None:
    places = np.arange(len(grid.rows))
    for i, column in enumerate(grid.columns):
        cells = [row.cells[i] for row in grid.rows]
        axes.errorbar(
            [cell.accuracy for cell in cells],
            places,
            xerr=[cell.interval or 0 for cell in cells],
            fmt=_MARKS[i // 8 % 5],
            color=_COLOURS[i % 8],
            markersize=5,
            capsize=2,
            label=column,
        )
    kinds = [semantics(row.method) for row in grid.rows]
    pairs = zip(grid.rows, kinds, strict=True)
    told = [r.label if kind == "inductive" else f"{r.label} ({kind})" for r, kind in pairs]
    axes.set_yticks(places, told, fontsize="small", parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("accuracy, %")
