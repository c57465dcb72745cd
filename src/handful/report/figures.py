"""Charts: confusion matrix, reliability diagram, accuracy by shots; and what charts share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handful.metrics import Evaluation

# The palette of Okabe and Ito, which colour-blind readers can tell apart.
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#0072B2", "#CC79A7", "#999999")
_LONGEST = 24  # letters of a class name in a figure


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches; not by pyplot, so no global state and no window."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def shorten(text: str, most: int = _LONGEST, *, keep_end: bool = False) -> str:
    """At most `most` letters: the first ones, or with `keep_end` the last (of a path).

    >>> shorten("a" * 9, 4), shorten("folder/a.png", 6, keep_end=True)
    ('aaa…', '…a.png')
    """
    if len(text) <= most:
        return text
    return "…" + text[1 - most :] if keep_end else text[: most - 1] + "…"


def confusion_figure(evaluation: Evaluation) -> Figure:
    """The confusion matrix: rows are true classes, columns answers, cells counts."""
    return matrix_figure(np.asarray(evaluation.confusion), evaluation.classes)


def matrix_figure(matrix: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """The same of a `[C, C]` matrix and C names."""
    size = min(4 + 0.32 * len(names), 24)
    figure = new_figure(size, size)
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    ticks = [shorten(name) for name in names]
    axes.set_xticks(range(len(names)), ticks, rotation=90, parse_math=False)  # a $ is a $
    axes.set_yticks(range(len(names)), ticks, parse_math=False)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    if len(names) <= 40:  # of more classes the digits could not be read
        for i, j in zip(*np.nonzero(matrix), strict=True):
            colour = "white" if share[i, j] > 0.5 else "black"
            axes.text(j, i, str(matrix[i, j]), ha="center", va="center", color=colour, fontsize=7)
    return figure


def reliability_figure(calibration: Mapping[str, Any]) -> Figure:
    """How often answers are right, by how sure they are (`Evaluated.confidence`).

    A point on the diagonal is a calibrated probability; its area is the share of the answers.
    """
    figure = new_figure(4.8, 4.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "--", color=COLOURS[7], linewidth=1)
    shown = (("ece_uncalibrated", "method's own", COLOURS[4]), ("ece", "this skill", COLOURS[5]))
    for key, name, colour in shown:
        bins = [b for b in calibration["bins"][key] if b["count"]]
        total = sum(b["count"] for b in bins)
        x, y = ([b[side] for b in bins] for side in ("confidence", "accuracy"))
        label = f"{name}, ECE {100 * calibration[key]:.1f} %"
        axes.plot(x, y, color=colour, linewidth=1, label=label)
        axes.scatter(x, y, s=[8 + 200 * b["count"] / total for b in bins], color=colour, alpha=0.6)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("probability of the answer")
    axes.set_ylabel("share that is right")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize="small")
    return figure
