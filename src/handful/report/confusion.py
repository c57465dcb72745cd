"""The confusion matrix as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from handful.report.figures import new_figure, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handful.metrics import Evaluation

_CELL = 0.34  # inches
_WITH_PERCENT = 14  # classes up to which a cell has room for a percentage below its count
_WITH_COUNT = 40  # classes up to which the digits can be read
_LARGEST = 24.0  # inches
_DARK = 0.55  # share from which a cell needs white digits


def confusion_figure(evaluation: Evaluation, title: str = "") -> Figure:
    """The confusion matrix: rows are true classes, columns answers, cells counts."""
    return matrix_figure(np.asarray(evaluation.confusion), evaluation.classes, title)


def matrix_figure(matrix: NDArray[np.int64], names: Sequence[str], title: str = "") -> Figure:
    """The same of a `[C, C]` matrix and C names; there may be a column more, with its name.

    Right answers are blue and mistakes orange, the darker the larger their share of the row; both
    can be told apart by colour-blind readers. The number behind a class is its row's total, with
    the share that is right where cells have no room for percentages.
    """
    count, small = len(matrix), len(names) <= _WITH_PERCENT
    cell = 0.56 if small else _CELL
    side = min(2.6 + cell * count, _LARGEST)
    figure = new_figure(max(side, 4.2), side + 0.3)
    axes = figure.subplots()
    totals = matrix.sum(axis=1)
    share = matrix / np.maximum(totals[:, None], 1)
    _draw_shares(axes, share)
    size = 8 if small else 7
    answers = [shorten(name) for name in names]
    right = ["" if small else f", {100 * own:.0f} %" for own in share.diagonal()]
    truth = [
        f"{shorten(name)}  ({total}{own})"
        for name, total, own in zip(names[:count], totals, right, strict=True)
    ]
    # parse_math: a $ in a name is a $
    axes.set_xticks(range(len(names)), answers, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(count), truth, fontsize=size, parse_math=False)
    axes.tick_params(length=0)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class (images)" if small else "true class (images, share right)")
    if title:
        axes.set_title(title, fontsize=9, loc="left", parse_math=False)
    if count <= _WITH_COUNT:
        for i, j in zip(*np.nonzero(matrix), strict=True):
            text = str(matrix[i, j])
            if small:
                text += f"\n{100 * share[i, j]:.0f} %"
            colour = "white" if share[i, j] > _DARK else "black"
            axes.text(j, i, text, ha="center", va="center", color=colour, fontsize=size - 1)
    return figure


def _draw_shares(axes: Any, share: NDArray[np.float64]) -> None:
    """Cells in two colours, with lines between them."""
    right, empty = np.equal.outer(*map(np.arange, share.shape)), share == 0
    for hidden, colours in ((~right, "Blues"), (right, "Oranges")):
        axes.imshow(np.ma.masked_array(share, hidden | empty), cmap=colours, vmin=0, vmax=1)
    if len(share) <= _WITH_COUNT:
        axes.set_xticks(np.arange(share.shape[1] + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(share.shape[0] + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#dddddd", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
