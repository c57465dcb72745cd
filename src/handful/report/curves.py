"""ROC and precision-recall curves, and numbers of subgroups with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from handful.report.figures import COLOURS, new_figure, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handful.metrics import Curve

_NAMED = 6  # curves with a colour of their own; the others are grey
_TALLEST = 40.0  # inches


class Mark(NamedTuple):
    """An operating point on both curves of a class."""

    name: str
    of: str
    recall: float
    specificity: float
    precision: float


def curves_figure(
    curves: Mapping[str, Curve],
    areas: Mapping[str, float],
    marks: Sequence[Mark] = (),
    precisions: Mapping[str, float] | None = None,
) -> Figure:
    """ROC (left) and precision-recall (right) of each class against the rest.

    Args:
        curves: class name to its curves.
        areas: class name to the area under its ROC curve. Of many classes those with an operating
            point and the lowest areas are named.
        marks: operating points.
        precisions: class name to the average precision, the area under its other curve.
    """
    figure = new_figure(9.0, 5.6)
    roc, precision = figure.subplots(1, 2)
    marked = {mark.of for mark in marks}
    lowest = sorted(curves, key=lambda name: (name not in marked, areas[name], name))
    named = lowest if len(curves) <= _NAMED else lowest[: _NAMED - 1]
    colours = dict(zip(named, (c for c in COLOURS if c != COLOURS[7]), strict=False))
    for name, one in curves.items():
        style: dict[str, Any] = {"color": COLOURS[7], "alpha": 0.45, "linewidth": 0.8, "zorder": 1}
        if name in colours:
            label = f"{shorten(name)}, AUC {areas[name]:.2f}"
            label += f", AP {precisions[name]:.2f}" if precisions else ""
            style = {"color": colours[name], "linewidth": 1.4, "label": label, "zorder": 2}
        roc.plot(one.false_positive_rate, one.recall, **style)
        style.pop("label", None)
        # without the last point, recall 0, which no threshold has
        ends = one.recall_at[:-1], one.precision_at[:-1]
        precision.plot(*ends, drawstyle="steps-post", **style)
    if len(curves) > len(named):
        roc.plot([], [], color=COLOURS[7], label=f"{len(curves) - len(named)} others, higher AUC")
    for mark in marks:
        point = {"marker": "*", "markersize": 13, "color": "black", "linestyle": "", "zorder": 3}
        roc.plot([1 - mark.specificity], [mark.recall], label=shorten(mark.name, 34), **point)
        precision.plot([mark.recall], [mark.precision], **point)
    roc.plot([0, 1], [0, 1], "--", color=COLOURS[7], linewidth=0.8)
    roc.set(xlabel="1 - specificity", ylabel="sensitivity (recall)", title="ROC")
    precision.set(xlabel="sensitivity (recall)", ylabel="PPV (precision)", title="Precision-recall")
    for axes in (roc, precision):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
        axes.grid(alpha=0.25)
    # below both: on the curves it would hide some
    legend = figure.legend(frameon=False, fontsize="small", loc="outside lower center", ncols=2)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a $ in a name is a $
    return figure


def forest_figure(
    rows: Sequence[tuple[str, int, float, Sequence[float] | None]], what: str = "accuracy"
) -> Figure:
    """A line a subgroup: accuracy with its interval.

    Args:
        rows: name, images, accuracy, its interval or None.
        what: the share is of.
    """
    figure = new_figure(6.0, min(1.1 + 0.32 * len(rows), _TALLEST))
    axes = figure.subplots()
    for place, (_, _, value, ends) in enumerate(rows):
        if ends is not None:
            axes.plot([100 * end for end in ends], [place, place], color=COLOURS[5], linewidth=1.6)
        axes.plot([100 * value], [place], "o", color=COLOURS[5], markersize=6)
        axes.annotate(
            f"{100 * value:.0f} %", (100 * value, place), (0, 5), textcoords="offset points",
            ha="center", fontsize=7,
        )  # fmt: skip
    labels = [f"{shorten(name)}  ({count})" for name, count, _, _ in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8, parse_math=False)
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.set_xlim(0, 104)
    axes.set_xlabel(f"{what}, %, with its 95 % interval (images in brackets)")
    axes.grid(axis="x", alpha=0.25)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure
