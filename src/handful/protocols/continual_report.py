"""A finished sequence of tasks as markdown and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from handful.protocols.continual_result import LABELS, ContinualResult
from handful.protocols.task_sequence import WAYS, Matrix
from handful.report import markdown_table, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def continual_markdown(done: ContinualResult, heading: str, level: int = 2) -> str:
    """The table, what stands beside it, and the first seed's matrix with names and without.

    Args:
        done: what was measured.
        heading: first line, without `#`.
        level: of the headings of the matrices.
    """
    mark = "#" * level
    first, grid = done.sequences[0], done.grid
    cells = [(row.label, *map(str, row.cells)) for row in grid.rows]
    lines = [f"{mark[1:] or '#'} {heading}", ""]
    lines += [*markdown_table(["", *grid.columns], cells, "---:"), ""]
    lines += [f"- {name}: {c}" for name, c in done.numbers().items()]
    lines += ["", _description(done), ""]
    for way in ("named", "routed"):
        lines += [f"{mark} {LABELS[way]}: accuracy after each task, %, first order", ""]
        lines += [*_matrix_lines(first.order, first.matrices[way]), ""]
    return "\n".join(lines)


def continual_figure(done: ContinualResult) -> Figure:
    """The first seed's accuracy matrices, and accuracy on what was learned so far."""
    first = done.sequences[0]
    size = max(3.4, 0.34 * len(first.order) + 1.4)
    figure = new_figure(2.6 * size, size)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 0.8))
    for axes, way in ((left, "named"), (middle, "routed")):
        image = axes.imshow(first.matrices[way], vmin=0, vmax=100, cmap="viridis")
        axes.set_title(LABELS[way], fontsize="medium")
        axes.set_xticks(range(len(first.order)), first.order, rotation=90, fontsize="x-small")
        axes.set_yticks(range(len(first.order)), first.order, fontsize="x-small")
        axes.set_xlabel("asked about")
    left.set_ylabel("after learning")
    figure.colorbar(image, ax=middle, label="accuracy, %", shrink=0.8)
    steps = np.arange(1, len(first.order) + 1)
    for way, style in zip(WAYS, ("-o", "--s", ":^"), strict=True):
        means = [
            np.mean([s.matrices[way][t - 1, :t].mean() for s in done.sequences]) for t in steps
        ]
        right.plot(steps, means, style, markersize=4, label=LABELS[way])
    right.set_xlabel("tasks learned")
    right.set_ylabel("accuracy on them, %")
    right.set_ylim(0, None)
    right.grid(alpha=0.25)
    right.legend(frameon=False, fontsize="x-small")
    return figure


def _description(done: ContinualResult) -> str:
    """How the numbers came about, in a paragraph."""
    f = done.facts
    return (
        f"{len(done.sequences[0].order)} tasks, {f['shots']} shots, method {f['method']}, encoder "
        f"{f['encoder']}, {f['seeds']} seeds ({f['order']}). {f['hyper-parameters'].capitalize()}. "
        "Transfer: tasks still to come; those are answered by zero-shot, named among their own "
        "classes. Last: after all tasks. Without names an answer is one of all classes of all "
        "tasks, and is right where task and class are; each image is judged by itself. Where "
        f"unknown images are refused, at most {100 * f['rate']:g} % of the images of a task that "
        "is not there are meant to be accepted; refused ones are answered by zero-shot over all "
        "classes, and so is everything until three tasks are there to learn a rate from."
    )


def _matrix_lines(order: Sequence[str], matrix: Matrix) -> list[str]:
    cells = [(name, *(f"{v:.0f}" for v in row)) for name, row in zip(order, matrix, strict=True)]
    return markdown_table(["after", *order], cells, "---:")
