"""The figure of an explanation: the photo, the support photos that weigh most, and all parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from handful import report
from handful.skills.explain import Explanation
from handful.skills.locate import decode_or_none

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handful.contracts import ImageRef
    from handful.packs.support import Support

_ACROSS = 3  # support photos in a row
_LONGEST = 26  # letters of a class name
_TALLEST = 60  # inches
_AGAINST, _FOR = report.COLOURS[4], report.COLOURS[5]


def explanation_figure(
    explanation: Explanation, query: ImageRef, pictures: Mapping[str, ImageRef], top: int = 6
) -> Figure:
    """The photo with its answer, bars of all parts, and support photos with signed weights.

    Args:
        explanation: of the answer.
        query: the photo that was answered.
        pictures: digest to image, for the support images at hand; others appear by name.
        top: support images to show.
    """
    rows, margins, support = explanation.top(top), explanation.image_margins, explanation.support
    shown = [i for i in rows if support.ids[i] in pictures]
    grid_height = -(-len(shown) // _ACROSS)
    heights = [2.7 + 0.28 * len(rows), *([2.3 * grid_height] if shown else [])]
    figure = report.new_figure(9.0, min(sum(heights), _TALLEST))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    photo, bars = parts[0].subplots(1, 2, width_ratios=[1, 1.7])
    answer = _cut(explanation.classes[explanation.answer])
    runner_up = _cut(explanation.classes[explanation.runner_up])
    caption = f"{answer} ({100 * explanation.probability:.1f} %)"
    name = query.name.rpartition("/")[2] or query.name  # in which folder is of no use to others
    report.show_photo(photo, decode_or_none(query), name, caption, report.COLOURS[0])
    _draw_bars(bars, explanation, rows)
    bars.set_xlabel(f"for {answer} (right) or {runner_up} (left), logits", fontsize=8)
    if shown:
        photos = (
            (
                decode_or_none(pictures[support.ids[i]]),
                support.names[i],
                f"{margins[i]:+.2f}  {_cut(support.labels[i])}",
                _FOR if margins[i] >= 0 else _AGAINST,
            )
            for i in shown
        )
        report.show_photos(parts[1], grid_height, _ACROSS, photos)
    return figure


def _draw_bars(axes: Any, explanation: Explanation, rows: Sequence[int]) -> None:
    """What each image, the other images, the text and the rest add to the margin."""
    margins, support = explanation.image_margins, explanation.support
    parts = [(_bar_name(support, i), margins[i]) for i in rows]
    if len(margins) > len(rows):
        others = margins.sum() - margins[rows].sum()
        parts.append((f"{len(margins) - len(rows)} other images", others))
    parts += [("the text", explanation.text_margin), ("neither", explanation.rest_margin)]
    values = [float(value) for _, value in parts]
    places = np.arange(len(parts))
    axes.barh(places, values, color=[_FOR if v >= 0 else _AGAINST for v in values])
    axes.set_yticks(places, [name for name, _ in parts], fontsize=7, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.18)  # room for the numbers
    for place, value in zip(places, values, strict=True):
        side = "left" if value >= 0 else "right"
        axes.text(value, place, f" {value:+.2f} ", va="center", ha=side, fontsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _bar_name(support: Support, row: int) -> str:
    """Its class, and enough of its name to find it: names start with the class as a rule."""
    name = (support.names[row] or support.ids[row]).split("/")[-1]
    return f"{_cut(support.labels[row])}: {report.shorten(name, 20)}"


def _cut(text: str) -> str:
    return report.shorten(text, _LONGEST)
