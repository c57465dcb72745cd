"""Figures that show photographs: what the doctor found, and what carried an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from handful import report
from handful.skills import support_images

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from handful.contracts import ImageRef
    from handful.packs.support import Support
    from handful.skills.doctor import Examination, Finding
    from handful.skills.explain import Reasons

_ACROSS = 6  # photographs in a row
_MOST = 24  # photographs of each kind of finding; a sheet has to be looked at
_LONGEST = 26
_ALARM, _QUIET = report.COLOURS[4], report.COLOURS[5]


def contact_sheet(examination: Examination, pictures: Mapping[str, ImageRef]) -> Figure:
    """The photographs to look at: suspected labels, twins side by side, strays, tiny ones.

    Args:
        examination: what was found.
        pictures: digest to image, for those at hand.
    """
    blocks = _blocks(examination)
    across = min(_ACROSS, max([4, *(len(cells) for _, cells in blocks)]))
    heights = [-(-len(cells) // across) for _, cells in blocks]
    figure = _figure(1.75 * across, 2.35 * (sum(heights) or 1) + 0.4)
    if not blocks:
        axes = figure.subplots()
        axes.axis("off")
        axes.text(0.5, 0.5, "Nothing to look at: no photo stands out.", ha="center", va="center")
        return figure
    parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, height, (title, cells) in zip(parts, heights, blocks, strict=True):
        part.suptitle(title, fontsize="medium", x=0.01, ha="left", fontweight="bold")
        grid = part.subplots(height, across, squeeze=False).flat
        for axes, cell in zip(
            grid, [*cells, *[None] * (height * across - len(cells))], strict=True
        ):
            axes.axis("off")
            if cell is not None:
                finding, caption, colour = cell
                picture = support_images.picture(pictures.get(finding.id))
                report.show_photo(axes, picture, finding.name, caption, colour)
    return figure


def reasons_figure(
    why: Reasons, query: ImageRef, pictures: Mapping[str, ImageRef], top: int = 6
) -> Figure:
    """The photo, the support photos that carried its answer with signed weights, and all parts.

    Args:
        why: the reasons.
        query: the photo that was answered.
        pictures: digest to image, for the support images at hand; others appear by name.
        top: support images to show.
    """
    rows, leads = why.top(top), why.image_leads
    first, second = why.classes[why.answer], why.classes[why.runner_up]
    shown = [i for i in rows if why.support.ids[i] in pictures]
    height = -(-len(shown) // 3)
    figure = _figure(9.0, 2.7 + 0.28 * len(rows) + 2.3 * height)
    heights = [2.7 + 0.28 * len(rows), *([2.3 * height] if shown else [])]
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    photo, bars = parts[0].subplots(1, 2, width_ratios=[1, 1.7])
    caption = f"{_cut(first)} ({100 * why.probability:.1f} %)"
    report.show_photo(photo, support_images.picture(query), query.name, caption, report.COLOURS[0])
    _bars(bars, why, rows)
    bars.set_xlabel(f"for {_cut(first)} (right) or {_cut(second)} (left), logits", fontsize=8)
    if shown:
        grid = list(parts[1].subplots(height, 3, squeeze=False).flat)
        for axes in grid:
            axes.axis("off")
        for axes, i in zip(grid, shown, strict=False):
            picture = support_images.picture(pictures[why.support.ids[i]])
            caption = f"{leads[i]:+.2f}  {_cut(why.support.labels[i])}"
            colour = _QUIET if leads[i] >= 0 else _ALARM
            report.show_photo(axes, picture, why.support.names[i], caption, colour)
    return figure


def _bars(axes: Any, why: Reasons, rows: Sequence[int]) -> None:
    """What each image, the other images, the text and the rest add to the lead."""
    leads, support = why.image_leads, why.support
    parts = [(_bar_name(support, i), leads[i]) for i in rows]
    if len(leads) > len(rows):
        parts.append((f"{len(leads) - len(rows)} other images", leads.sum() - leads[rows].sum()))
    parts += [("the text", why.text_lead), ("neither", why.rest_lead)]
    values = [float(value) for _, value in parts]
    places = np.arange(len(parts))
    axes.barh(places, values, color=[_QUIET if v >= 0 else _ALARM for v in values])
    axes.set_yticks(places, [name for name, _ in parts], fontsize=7, parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.18)
    for place, value in zip(places, values, strict=True):
        side = "left" if value >= 0 else "right"
        axes.text(value, place, f" {value:+.2f} ", va="center", ha=side, fontsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _bar_name(support: Support, row: int) -> str:
    """Its class, and enough of its name to find it: names start with the class as a rule."""
    name = (support.names[row] or support.ids[row]).split("/")[-1]
    short = name if len(name) <= 12 else f"{name[:11]}…"
    return f"{_cut(support.labels[row])}: {short}"


def _blocks(found: Examination) -> list[tuple[str, list[tuple[Finding, str, str]]]]:
    """Title, and finding, caption and colour of every photograph of each kind."""
    by_row = {f.row: f for f in found.images}
    pairs = [
        (
            by_row[row],
            f"{'same file' if t.exact else f'cosine {t.cosine:.3f}'}\n{_cut(by_row[row].label)}",
            _ALARM if t.across else _QUIET,
        )
        for t in found.twins[: _MOST // 2]
        for row in (t.first, t.second)
    ]
    suspects = found.suspects
    named = {f.row for f in suspects}
    blocks = [
        (
            _told("Labels that look wrong", len(suspects)),
            [
                (f, f"is “{_cut(f.label)}”\nlooks “{_cut(f.looks_like)}” {f.wrong:.2f}", _ALARM)
                for f in suspects[:_MOST]
            ],
        ),
        (_told("Copies and near-copies, in pairs", 2 * len(found.twins)), pairs),
    ]
    for title, problem in (
        ("Others are recognised better without these", "hurts"),
        ("Far from their class", "far"),
        ("Too small to help", "small"),
    ):
        rest = [f for f in found.having(problem) if problem == "small" or f.row not in named]
        cells = [(f, _caption(f, problem), _QUIET) for f in rest[:_MOST]]
        blocks.append((_told(title, len(rest)), cells))
    return [(title, cells) for title, cells in blocks if cells]


def _caption(f: Finding, problem: str) -> str:
    if problem == "small" and f.size is not None:
        return f"{f.size[0]} x {f.size[1]} pixels\n{_cut(f.label)}"
    if problem == "far" and f.distance is not None:
        return f"{f.distance:.1f} deviations\n{_cut(f.label)}"
    return f"{_cut(f.label)}"


def _told(title: str, count: int) -> str:
    return f"{title}: the first {_MOST} of {count}" if count > _MOST else f"{title}: {count}"


def _figure(width: float, height: float) -> Figure:
    return report.new_figure(width, min(height, 60))


def _cut(text: str) -> str:
    return report.shorten(text, _LONGEST)
